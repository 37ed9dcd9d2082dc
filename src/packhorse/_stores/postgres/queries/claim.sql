-- name: take
-- The lines are asked in the order of their places: the nested loop over them stops when there are enough. A worker's row is
-- locked only once there is something to take, so that a claim that finds nothing writes nothing. The jobs are found by an array and
-- joined with nothing: a planner that reckons with one of them would look at all for each.
WITH c AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
), open AS MATERIALIZED (
    SELECT 1 FROM packhorse.workers w JOIN packhorse.namespaces n ON n.id = w.ns
     WHERE w.id = $4 AND w.ns = $2 AND w.state = 'live' AND n.closed IS NULL
), asked AS MATERIALIZED (
    SELECT a.line, a.place, a.floor
      FROM unnest($3::int[], $10::bigint[]) WITH ORDINALITY AS a (line, floor, place)
      JOIN packhorse.lines l ON l.id = a.line
      LEFT JOIN packhorse.lines q ON q.id = l.side_of
     WHERE l.paused_at IS NULL AND q.paused_at IS NULL AND EXISTS (SELECT FROM open)
     ORDER BY a.place
), found AS MATERIALIZED (
    SELECT r.*, a.place
      FROM asked a
     CROSS JOIN LATERAL (
        SELECT r.ctid AS row, r.seq, r.rank, r.solo FROM packhorse.ready r
         WHERE r.line = a.line AND r.rank >= a.floor AND (r.expires_at IS NULL OR r.expires_at > (SELECT now FROM c))
         ORDER BY r.rank, r.seq LIMIT $6::int FOR UPDATE SKIP LOCKED
     ) r LIMIT $6::int
), counted AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY place, rank, seq) AS number FROM found
), numbered AS MATERIALIZED (
    SELECT *, bool_or(solo AND number > $5::bigint) OVER (ORDER BY number) AS stop FROM counted
), me AS MATERIALIZED (
    SELECT 1 FROM packhorse.workers WHERE id = $4 AND ns = $2 AND state = 'live' AND (SELECT count(*) FROM numbered) > 0 FOR SHARE
), mine AS MATERIALIZED (
    SELECT row, seq FROM numbered WHERE NOT stop AND EXISTS (SELECT FROM me)
), gone AS (
    DELETE FROM packhorse.ready WHERE ctid = ANY (ARRAY(SELECT row FROM mine))
), job AS (
    UPDATE packhorse.jobs j
       SET state = :RUNNING, token = $7, worker = $4, claim_no = $8, fence = greatest(fence + 1, (SELECT now FROM c)), started_at = NULL,
           held_key = CASE WHEN unique_until <> 'started' THEN held_key END
     WHERE j.seq = ANY (ARRAY(SELECT seq FROM mine)) AND j.state = :QUEUED
    RETURNING j.*
), noted AS (
    INSERT INTO packhorse.claims (token, ns, worker, seqs) SELECT $7, $2, $4, array_agg(seq) FROM mine HAVING count(*) > 0
    ON CONFLICT (token, ns) DO UPDATE SET seqs = claims.seqs || excluded.seqs
), done AS (
    DELETE FROM packhorse.claims WHERE ns = $2 AND token = ANY ($9::text[])
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs)
    SELECT k.queue, s.state, s.sign * job.jobs
      FROM (SELECT kind, count(*) AS jobs FROM job GROUP BY kind) AS job
      JOIN packhorse.kinds k ON k.id = job.kind CROSS JOIN (VALUES (:QUEUED, -1), (:RUNNING, 1)) AS s (state, sign)
)
SELECT f.found, f.now, f.closed, job.line, job.rank, job.id, job.kind, payload, options, crash_fails, suspect, failures, crashes,
       losses, snoozes, generation, fence, priority, created_at, scheduled_at, tags, meta, made_by, parent, error, holds, flow
  FROM (SELECT (SELECT count(*) FROM numbered) AS found, (SELECT now FROM c) AS now,
               (SELECT closed FROM packhorse.namespaces WHERE id = $2) AS closed) AS f
  LEFT JOIN job ON true
 ORDER BY array_position($3, job.line), job.rank, job.seq

-- name: every (queues in which something is queued, and their side lines that have something)
SELECT l.id, l.name
  FROM packhorse.lines l
 WHERE l.ns = $1 AND EXISTS (SELECT FROM packhorse.ready r WHERE r.line = l.id)
 ORDER BY l.name

-- name: lines
SELECT id, name FROM packhorse.lines WHERE ns = $1 AND name = ANY ($2::text[])

-- name: called
SELECT k.id, k.task, q.name FROM packhorse.kinds k JOIN packhorse.lines q ON q.id = k.queue WHERE k.id = ANY ($1::int[])

-- name: dead
SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_all_tables WHERE schemaname = $1 AND relname = 'ready'
