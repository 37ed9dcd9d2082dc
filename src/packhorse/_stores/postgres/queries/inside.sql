-- name: where (nothing that could fail: an error would end the caller's transaction)
SELECT (SELECT oid::bigint FROM pg_database WHERE datname = current_database()), extract(epoch FROM pg_postmaster_start_time())::text, current_database(),
       coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = $1 AND c.relname = 'meta'), false)

-- name: instance
SELECT value FROM packhorse.meta WHERE key = 'instance'

-- name: open
SELECT closed, current_setting('transaction_isolation') FROM packhorse.namespaces WHERE id = $1

-- name: hold (a transaction that sees an old state of the database: it must not miss that the namespace was closed since)
SELECT closed FROM packhorse.namespaces WHERE id = $1 FOR SHARE

-- name: insert (as enqueue.many, but a known id is passed over: an error would end the caller's transaction)
WITH c AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
), timed AS MATERIALIZED (
    SELECT v.*, now, CASE WHEN coalesce(at, now + delay) > now THEN coalesce(at, now + delay) END AS later,
           coalesce(v.expires_at, now + v.expires) AS over
      FROM c CROSS JOIN json_to_recordset($3::json) AS v (
            place int, id text, kind int, line int, priority smallint, at bigint, delay bigint, expires_at bigint, expires bigint,
            crash_fails boolean, parent text, made_by text, options text, tags text, meta text, payload text)
), job AS (
    INSERT INTO packhorse.jobs (created_at, rank, due_at, scheduled_at, waits_until, expires_at, ns, kind, line, state, shelf,
                                priority, crash_fails, id, parent, made_by, options, tags, meta, payload)
    SELECT now, coalesce(later, now) /*ranked - priority * (SELECT l.step FROM packhorse.lines l WHERE l.id = timed.line) */,
           later, later, over, over, $2, kind, line,
           CASE WHEN later IS NULL THEN :QUEUED ELSE :SCHEDULED END, CASE WHEN later IS NOT NULL THEN :SCHEDULED END,
           priority, crash_fails, id, parent, made_by, options, tags, meta, payload
      FROM timed ORDER BY place
    ON CONFLICT (ns, id) DO NOTHING
    RETURNING id, line, priority, seq, rank, state, created_at, scheduled_at, expires_at, crash_fails
), r AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo)
    SELECT rank, seq, expires_at, line, priority, crash_fails FROM job WHERE state = :QUEUED
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs) SELECT line, state, count(*) FROM job GROUP BY line, state
)
SELECT id, state, created_at, scheduled_at, pg_current_xact_id()::text FROM job

-- name: complete
WITH c AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
), held AS MATERIALIZED (
    SELECT j.seq FROM packhorse.jobs j
     WHERE j.ns = $2 AND j.id = $3 AND j.token = $4 AND j.state = :RUNNING AND j.cancel_at IS NULL FOR NO KEY UPDATE
), job AS (
    UPDATE packhorse.jobs j
       SET state = :SUCCEEDED, shelf = NULL, started_at = coalesce(started_at, (SELECT now FROM c)), finished_at = (SELECT now FROM c),
           result = $5, result_until = (SELECT now FROM c) + $6::bigint, suspect = false, waits_until = NULL,
           drop_at = CASE WHEN $5::text IS NOT NULL THEN (SELECT now FROM c) + $6::bigint END,
           error = NULL, reason = NULL, cancel_reason = NULL,
           held_key = CASE WHEN unique_until IN ('time', 'flow') THEN held_key END
      FROM held WHERE j.seq = held.seq
    RETURNING j.*
), a AS (
    INSERT INTO packhorse.attempts (job, token, generation, number, worker, host, started_at, ended_at, outcome)
    SELECT job.seq, token, generation, 1 + failures + crashes + losses, worker,
           (SELECT host FROM packhorse.workers w WHERE w.id = job.worker AND w.ns = $2), started_at, finished_at, 'succeeded'
      FROM job WHERE failures + crashes + losses + snoozes + generation > 0
    ON CONFLICT (job, token) DO NOTHING
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs)
    SELECT k.queue, s.state, s.sign
      FROM job JOIN packhorse.kinds k ON k.id = job.kind CROSS JOIN (VALUES (:RUNNING, -1), (:SUCCEEDED, 1)) AS s (state, sign)
)
SELECT count(*) FROM job

-- name: fate
SELECT pg_xact_status($1::text::xid8)

-- name: stored
SELECT count(*) FROM packhorse.jobs WHERE ns = $1 AND id = $2
