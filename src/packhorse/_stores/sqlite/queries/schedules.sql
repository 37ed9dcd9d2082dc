-- name: version
SELECT version, builds FROM packhorse_books WHERE ns = ?

-- name: all
SELECT id, name, spec, created_at, watermark, revision, app, build, declared, paused_at, paused_by, paused_reason, edited_at,
       edited_by, retired_at
  FROM packhorse_schedules WHERE ns = ? ORDER BY name

-- name: book
INSERT INTO packhorse_books (ns, version, builds) VALUES (:ns, :version, coalesce(:builds, '{}'))
    ON CONFLICT (ns) DO UPDATE SET version = excluded.version, builds = coalesce(:builds, builds)

-- name: forget_runs
DELETE FROM packhorse_runs WHERE schedule IN (SELECT n FROM packhorse_schedules WHERE ns = ? AND id = ?)

-- name: forget
DELETE FROM packhorse_schedules WHERE ns = ? AND id = ?

-- name: put (a watermark never goes back)
INSERT INTO packhorse_schedules (ns, id, name, spec, created_at, watermark, revision, app, build, declared, paused_at, paused_by,
                                 paused_reason, edited_at, edited_by, retired_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (ns, id) DO UPDATE
       SET name = excluded.name, spec = excluded.spec, created_at = excluded.created_at,
           watermark = max(watermark, excluded.watermark), revision = excluded.revision, app = excluded.app,
           build = excluded.build, declared = excluded.declared, paused_at = excluded.paused_at, paused_by = excluded.paused_by,
           paused_reason = excluded.paused_reason, edited_at = excluded.edited_at, edited_by = excluded.edited_by,
           retired_at = excluded.retired_at

-- name: one
SELECT n, revision, watermark FROM packhorse_schedules WHERE ns = ? AND id = ?

-- name: move
UPDATE packhorse_schedules SET watermark = ? WHERE n = ?

-- name: run
INSERT INTO packhorse_runs (schedule, tick, at, outcome, job, missed) VALUES (?, ?, ?, ?, ?, ?)

-- name: trim
DELETE FROM packhorse_runs
 WHERE schedule = :n
   AND tick <= (SELECT tick FROM packhorse_runs WHERE schedule = :n ORDER BY tick DESC LIMIT 1 OFFSET :kept)

-- name: runs
SELECT r.tick, r.at, r.outcome, r.job, r.missed
  FROM packhorse_schedules s CROSS JOIN packhorse_runs r ON r.schedule = s.n
 WHERE s.ns = ? AND s.id = ? ORDER BY r.tick DESC LIMIT ?
