-- name: tasks (of some jobs)
SELECT DISTINCT k.task FROM packhorse.jobs j JOIN packhorse.kinds k ON k.id = j.kind WHERE j.ns = $1 AND j.id = ANY ($2::text[])

-- name: step
SELECT step FROM packhorse.lines WHERE id = $1

-- name: rewrite (what nothing but an edit changes; those that stay queued get another row in the table of the ready, never the same one
-- changed: a claim that has found it before would take the job and be unable to delete a row that its snapshot does not show)
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS v (
        seq bigint, kind int, options text, tags text, payload text, stays boolean, old_line int, old_rank bigint, line int,
        rank bigint, priority smallint, expires_at bigint)
), place AS MATERIALIZED (
    SELECT r.row, v.* FROM v
     CROSS JOIN LATERAL (SELECT r.ctid AS row FROM packhorse.ready r
                          WHERE r.line = v.old_line AND r.rank = v.old_rank AND r.seq = v.seq OFFSET 0) r
     WHERE v.stays
), gone AS (
    DELETE FROM packhorse.ready r USING place p WHERE r.seq = p.seq AND r.ctid = ANY (ARRAY(SELECT row FROM place))
    RETURNING p.line, p.rank, p.seq, p.priority, p.expires_at, r.solo
), back AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo)
    SELECT rank, seq, expires_at, line, priority, solo FROM gone
)
UPDATE packhorse.jobs j SET kind = v.kind, options = v.options, tags = v.tags, payload = v.payload
  FROM v WHERE j.seq = v.seq AND j.seq = ANY (ARRAY(SELECT seq FROM v))

-- name: pause (tells since when it had been paused)
UPDATE packhorse.lines l
   SET paused_at = coalesce(old.paused_at, $2::bigint), paused_by = $3, paused_reason = $4, paused_until = $5
  FROM (SELECT id, paused_at FROM packhorse.lines WHERE id = $1 FOR NO KEY UPDATE) AS old
 WHERE l.id = old.id AND l.id = $1 RETURNING old.paused_at

-- name: known (so that it is listed, though it never had a job)
INSERT INTO packhorse.changes (queue, state, jobs) VALUES ($1, :QUEUED, 0)

-- name: resume
UPDATE packhorse.lines SET paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_until = NULL
 WHERE ns = $1 AND name = $2 AND paused_at IS NOT NULL RETURNING id

-- name: set_step
UPDATE packhorse.lines SET step = $2 WHERE id = $1 AND step <> $2 RETURNING id

-- name: steps (those that are not the default)
SELECT name, step FROM packhorse.lines WHERE ns = $1 AND side_of IS NULL AND step <> $2 ORDER BY name
