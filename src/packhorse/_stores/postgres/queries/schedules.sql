-- name: version
SELECT coalesce(b.version, 0), coalesce(b.builds, '{}'),
       coalesce($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
  FROM (SELECT $1::integer AS ns) AS mine LEFT JOIN packhorse.books b ON b.ns = mine.ns

-- name: all
SELECT id, name, spec, created_at, watermark, revision, app, build, declared, paused_at, paused_by, paused_reason, edited_at,
       edited_by, retired_at
  FROM packhorse.schedules WHERE ns = $1 ORDER BY name

-- name: open (the row is there, and nobody else's, until the transaction ends)
INSERT INTO packhorse.books (ns, version, builds) VALUES ($1, 0, '{}')
    ON CONFLICT (ns) DO UPDATE SET version = packhorse.books.version
RETURNING version

-- name: book
UPDATE packhorse.books SET version = $2, builds = coalesce($3, builds) WHERE ns = $1

-- name: forget_runs
DELETE FROM packhorse.runs r USING packhorse.schedules s WHERE s.ns = $1 AND s.id = ANY($2::text[]) AND r.schedule = s.n

-- name: forget
DELETE FROM packhorse.schedules WHERE ns = $1 AND id = ANY($2::text[])

-- name: put (a watermark never goes back)
INSERT INTO packhorse.schedules AS s
       (ns, id, name, spec, created_at, watermark, revision, app, build, declared, paused_at, paused_by, paused_reason, edited_at,
        edited_by, retired_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    ON CONFLICT (ns, id) DO UPDATE
       SET name = excluded.name, spec = excluded.spec, created_at = excluded.created_at,
           watermark = greatest(s.watermark, excluded.watermark), revision = excluded.revision, app = excluded.app,
           build = excluded.build, declared = excluded.declared, paused_at = excluded.paused_at, paused_by = excluded.paused_by,
           paused_reason = excluded.paused_reason, edited_at = excluded.edited_at, edited_by = excluded.edited_by,
           retired_at = excluded.retired_at

-- name: one (locked: of several who fire, one goes on)
SELECT s.n, s.revision, s.watermark FROM packhorse.schedules s WHERE s.ns = $1 AND s.id = $2 FOR UPDATE

-- name: move
UPDATE packhorse.schedules SET watermark = $2 WHERE n = $1

-- name: run
INSERT INTO packhorse.runs (schedule, tick, at, outcome, job, missed) VALUES ($1, $2, $3, $4, $5, $6)

-- name: trim
DELETE FROM packhorse.runs
 WHERE schedule = $1
   AND tick <= (SELECT tick FROM packhorse.runs WHERE schedule = $1 ORDER BY tick DESC LIMIT 1 OFFSET $2)

-- name: runs
SELECT r.tick, r.at, r.outcome, r.job, r.missed
  FROM packhorse.schedules s JOIN packhorse.runs r ON r.schedule = s.n
 WHERE s.ns = $1 AND s.id = $2 ORDER BY r.tick DESC LIMIT $3
