-- name: lock_ids (in the order of the ids, as everybody who locks several)
SELECT seq FROM packhorse.jobs WHERE ns = $1 AND id = ANY ($2::text[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED

-- name: lock_ready (before their jobs are locked, since a claim locks in this order)
SELECT 1 FROM packhorse.ready r
 WHERE EXISTS (SELECT FROM packhorse.jobs j
                WHERE j.seq = ANY ($1::bigint[]) AND j.state = :QUEUED AND j.line = r.line AND j.rank = r.rank AND j.seq = r.seq)
 ORDER BY r.seq FOR UPDATE OF r

-- name: lock
SELECT seq FROM packhorse.jobs WHERE seq = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE

-- name: lock_whole (also against those who store a job that is to follow one of these)
SELECT seq FROM packhorse.jobs WHERE seq = ANY ($1::bigint[]) ORDER BY id FOR UPDATE

-- name: lock_free
SELECT seq FROM packhorse.jobs WHERE seq = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED

-- name: lock_whole_free
SELECT seq FROM packhorse.jobs WHERE seq = ANY ($1::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED

-- name: read
SELECT r.id, r.seq, task, queue, state, payload, priority, rank, created_at, scheduled_at, due_at, started_at, finished_at,
       expires_at, options, crash_fails, suspect, failures, crashes, losses, snoozes, generation, fence, token, worker,
       line, tags, meta, made_by, r.parent, result, result_until, error, reason, progress, cancel_at, cancel_by,
       holds, after, after_flow, after_failed, flow, unique_key, unique_until,
       unique_held, unique_end, place, parked, given_up,
       cancel_reason, claim_no, kind, line_id, queue_id, step
  FROM packhorse.records r WHERE r.seq = ANY ($1::bigint[]) ORDER BY r.seq

-- name: put
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS v (
        seq bigint, old_state smallint, old_line int, old_rank bigint, old_queue int, queue int, state smallint, line int, rank bigint,
        priority smallint, solo boolean, scheduled_at bigint, due_at bigint, started_at bigint, finished_at bigint,
        expires_at bigint, suspect boolean, failures int, crashes int, losses int, snoozes int, generation int, result text,
        result_until bigint, error text, reason text, progress text, meta text, cancel_at bigint, cancel_by text,
        cancel_reason text, held_key text, place bigint, given_up text, waiting boolean)
), gone AS (
    DELETE FROM packhorse.ready r USING v
     WHERE v.old_state = :QUEUED AND v.state <> :QUEUED AND r.line = v.old_line AND r.rank = v.old_rank AND r.seq = v.seq
), back AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo)
    SELECT rank, seq, expires_at, line, priority, solo FROM v WHERE state = :QUEUED AND old_state <> :QUEUED
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs)
    SELECT queue, state, sum(jobs)
      FROM (SELECT old_queue AS queue, old_state AS state, -1 AS jobs FROM v UNION ALL SELECT queue, state, 1 FROM v) AS moves
     GROUP BY queue, state HAVING sum(jobs) <> 0
)
UPDATE packhorse.jobs j
   SET state = v.state, shelf = CASE WHEN v.state NOT IN (:QUEUED, :RUNNING, :SUCCEEDED) THEN v.state END, line = v.line,
       rank = v.rank, priority = v.priority, scheduled_at = v.scheduled_at, due_at = v.due_at, started_at = v.started_at, finished_at = v.finished_at,
       expires_at = v.expires_at,
       waits_until = CASE WHEN v.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) THEN v.expires_at END,
       suspect = v.suspect, failures = v.failures, crashes = v.crashes, losses = v.losses, snoozes = v.snoozes,
       generation = v.generation, result = v.result, result_until = v.result_until,
       drop_at = CASE WHEN v.result IS NOT NULL THEN v.result_until END, error = v.error, reason = v.reason,
       progress = v.progress, meta = v.meta, cancel_at = v.cancel_at, cancel_by = v.cancel_by, cancel_reason = v.cancel_reason,
       held_key = v.held_key, place = v.place, given_up = v.given_up, waiting = v.waiting
  FROM v WHERE j.seq = v.seq AND j.seq = ANY (ARRAY(SELECT seq FROM v))

-- name: attempts
INSERT INTO packhorse.attempts (job, token, generation, number, worker, host, started_at, ended_at, outcome, error, reason, usage, late)
SELECT job, token, generation, number, worker, coalesce(v.host, (SELECT host FROM packhorse.workers w WHERE w.id = v.worker AND w.ns = $2)),
       started_at, ended_at, outcome, error, reason, usage, late
  FROM json_to_recordset($1::json) AS v (
        job bigint, token text, generation int, number int, worker text, host text, started_at bigint, ended_at bigint, outcome text,
        error text, reason text, usage text, late text)
ON CONFLICT (job, token) DO UPDATE
   SET generation = excluded.generation, number = excluded.number, worker = excluded.worker, host = excluded.host,
       started_at = excluded.started_at, ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error,
       reason = excluded.reason, usage = excluded.usage, late = excluded.late

-- name: logs
INSERT INTO packhorse.logs (job, token, text, dropped)
SELECT job, token, text, dropped FROM json_to_recordset($1::json) AS v (job bigint, token text, text text, dropped bigint)
ON CONFLICT (job, token) DO UPDATE SET text = excluded.text, dropped = excluded.dropped

-- name: delete
WITH job AS (
    DELETE FROM packhorse.jobs WHERE seq = ANY ($1::bigint[]) RETURNING seq, line, rank, state, kind
), r AS (
    DELETE FROM packhorse.ready r USING job
     WHERE job.state = :QUEUED AND r.line = job.line AND r.rank = job.rank AND r.seq = job.seq
), a AS (
    DELETE FROM packhorse.attempts WHERE job = ANY ($1::bigint[])
), l AS (
    DELETE FROM packhorse.logs WHERE job = ANY ($1::bigint[])
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs)
    SELECT k.queue, job.state, -count(*) FROM job JOIN packhorse.kinds k ON k.id = job.kind GROUP BY k.queue, job.state
)
SELECT count(*) FROM job
