-- name: plain (successes at the first attempt. The lateral join leaves no choice of plan: each row is found by its id;
-- the array in the update none either, whatever the planner thinks of how many there are.)
WITH c AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
), v AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        string_to_table($3, E'\x1e'), string_to_table($4, ','), string_to_table($5, ',', ''), string_to_table($6, ','),
        string_to_table($7, E'\x1e', E'\x1d'), string_to_table($8, ',', '')
    ) AS v (id, token, started, ended, result, keep)
), held AS MATERIALIZED (
    SELECT j.row, j.seq, v.*
      FROM v CROSS JOIN LATERAL (
        SELECT j.ctid AS row, j.seq FROM packhorse.jobs j
         WHERE j.ns = $2 AND j.id = v.id AND j.token = v.token AND j.state = :RUNNING
           FOR NO KEY UPDATE SKIP LOCKED
      ) j
), job AS (
    UPDATE packhorse.jobs j
       SET state = :SUCCEEDED, shelf = NULL, started_at = coalesce((SELECT now FROM c) - held.started::bigint, started_at),
           finished_at = (SELECT now FROM c) - held.ended::bigint, result = held.result, suspect = false, waits_until = NULL,
           result_until = (SELECT now FROM c) + held.keep::bigint,
           drop_at = CASE WHEN held.result IS NOT NULL THEN (SELECT now FROM c) + held.keep::bigint END,
           error = NULL, reason = NULL, cancel_reason = NULL,
           held_key = CASE WHEN unique_until IN ('time', 'flow') THEN held_key END
      FROM held WHERE j.seq = held.seq AND j.ctid = ANY (ARRAY(SELECT row FROM held))
    RETURNING j.id, j.kind
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs)
    SELECT k.queue, s.state, s.sign * job.jobs
      FROM (SELECT kind, count(*) AS jobs FROM job GROUP BY kind) AS job
      JOIN packhorse.kinds k ON k.id = job.kind CROSS JOIN (VALUES (:RUNNING, -1), (:SUCCEEDED, 1)) AS s (state, sign)
)
SELECT id FROM job

-- name: outcomes
SELECT a.job, a.token, a.outcome
  FROM packhorse.attempts a JOIN unnest($1::bigint[], $2::text[]) AS v (job, token) ON a.job = v.job AND a.token = v.token

-- name: late
UPDATE packhorse.attempts SET late = $3 WHERE job = $1 AND token = $2

-- name: seen
SELECT id, seq, state, token FROM packhorse.jobs WHERE ns = $1 AND id = ANY ($2::text[])
