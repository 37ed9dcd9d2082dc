-- name: one
WITH c AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
      FROM packhorse.namespaces WHERE id = $2 AND closed IS NULL
), t AS MATERIALIZED (
    SELECT now, CASE WHEN coalesce($7::bigint, now + $8::bigint) > now THEN coalesce($7::bigint, now + $8::bigint) END AS later,
           coalesce($9::bigint, now + $10::bigint) AS expires
      FROM c
), job AS (
    INSERT INTO packhorse.jobs (created_at, rank, due_at, scheduled_at, waits_until, expires_at, ns, kind, line, state, shelf,
                                priority, crash_fails, id, parent, made_by, options, tags, meta, payload)
    SELECT now, coalesce(later, now) /*ranked - $6::bigint * (SELECT l.step FROM packhorse.lines l WHERE l.id = $5) */,
           later, later, expires, expires, $2, $4, $5,
           CASE WHEN later IS NULL THEN :QUEUED ELSE :SCHEDULED END, CASE WHEN later IS NOT NULL THEN :SCHEDULED END,
           $6::bigint, $11::boolean, $3, $12, $13, $14, $15, $16, $17
      FROM t
    RETURNING seq, rank, state, created_at, scheduled_at, expires_at, crash_fails
), r AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo)
    SELECT rank, seq, expires_at, $5, $6::bigint, crash_fails FROM job WHERE state = :QUEUED
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs) SELECT $5, state, 1 FROM job
)
SELECT state, created_at, scheduled_at, seq FROM job

-- name: many (columns as joined text: an array is dearer to write, and to read)
WITH c AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
      FROM packhorse.namespaces WHERE id = $2 AND closed IS NULL
), given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        string_to_table($3, E'\x1e'), string_to_table($4, ','), string_to_table($5, ','), string_to_table($6, ','),
        string_to_table($7, ',', ''), string_to_table($8, ',', ''), string_to_table($9, ',', ''), string_to_table($10, ',', ''),
        string_to_table($11, ','), string_to_table($12, E'\x1e', ''), string_to_table($13, E'\x1e', ''),
        string_to_table($14, E'\x1e', ''), string_to_table($15, E'\x1e', ''), string_to_table($16, E'\x1e', ''),
        string_to_table($17, E'\x1e')
    ) WITH ORDINALITY AS v (id, kind, line, priority, at, delay, expires_at, expires, crash_fails, parent, made_by, options, tags,
                            meta, payload, place)
), timed AS MATERIALIZED (
    SELECT given.*, now,
           CASE WHEN coalesce(at::bigint, now + delay::bigint) > now THEN coalesce(at::bigint, now + delay::bigint) END AS later,
           coalesce(given.expires_at::bigint, now + given.expires::bigint) AS over
      FROM given CROSS JOIN c
), job AS (
    INSERT INTO packhorse.jobs (created_at, rank, due_at, scheduled_at, waits_until, expires_at, ns, kind, line, state, shelf,
                                priority, crash_fails, id, parent, made_by, options, tags, meta, payload)
    SELECT now,
           coalesce(later, now) /*ranked - priority::bigint * (SELECT l.step FROM packhorse.lines l WHERE l.id = timed.line::int) */,
           later, later, over, over, $2, kind::int, line::int,
           CASE WHEN later IS NULL THEN :QUEUED ELSE :SCHEDULED END, CASE WHEN later IS NOT NULL THEN :SCHEDULED END,
           priority::smallint, crash_fails::boolean, id, parent, made_by, options, tags, meta, payload
      FROM timed ORDER BY place
    RETURNING id, line, priority, seq, rank, state, created_at, scheduled_at, expires_at, crash_fails
), r AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo)
    SELECT rank, seq, expires_at, line, priority, crash_fails FROM job WHERE state = :QUEUED
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs) SELECT line, state, count(*) FROM job GROUP BY line, state
)
SELECT id, state, created_at, scheduled_at FROM job

-- name: plain (jobs ready now, of which nothing is said beside: most batches are of such alone)
WITH c AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
      FROM packhorse.namespaces WHERE id = $2 AND closed IS NULL
), given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        string_to_table($3, E'\x1e'), string_to_table($4, ','), string_to_table($5, ','), string_to_table($6, ','),
        string_to_table($7, E'\x1e', ''), string_to_table($8, E'\x1e')
    ) WITH ORDINALITY AS v (id, kind, line, priority, made_by, payload, place)
), job AS (
    INSERT INTO packhorse.jobs (created_at, rank, ns, kind, line, state, priority, id, made_by, payload)
    SELECT now, now /*ranked - priority::bigint * (SELECT l.step FROM packhorse.lines l WHERE l.id = given.line::int) */,
           $2, kind::int, line::int, :QUEUED, priority::smallint, id, made_by, payload
      FROM given CROSS JOIN c ORDER BY place
    RETURNING line, priority, seq, rank, created_at
), r AS (
    INSERT INTO packhorse.ready (rank, seq, line, priority, solo) SELECT rank, seq, line, priority, false FROM job
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs) SELECT line, :QUEUED, count(*) FROM job GROUP BY line
)
SELECT count(*), min(created_at) FROM job

-- name: known
SELECT j.id, j.state, j.created_at, j.scheduled_at, k.task, q.name, j.payload
  FROM unnest($2::text[]) AS v (id)
 CROSS JOIN LATERAL (SELECT * FROM packhorse.jobs j WHERE j.ns = $1 AND j.id = v.id OFFSET 0) j
  JOIN packhorse.kinds k ON k.id = j.kind
  JOIN packhorse.lines q ON q.id = k.queue

-- name: closed
SELECT closed FROM packhorse.namespaces WHERE id = $1
