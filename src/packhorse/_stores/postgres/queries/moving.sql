-- name: close
UPDATE packhorse.namespaces SET closed = $2 WHERE id = $1

-- name: writers (transactions at work on the jobs just now, other than this one)
SELECT l.virtualtransaction FROM pg_locks l
 WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.relation = 'packhorse.jobs'::regclass

-- name: next
SELECT x.seq FROM packhorse.kinds k
 CROSS JOIN LATERAL (SELECT j.seq FROM packhorse.jobs j WHERE j.kind = k.id AND j.seq > $2::bigint ORDER BY j.seq LIMIT $3::bigint) x
 WHERE k.ns = $1 ORDER BY x.seq LIMIT $3::bigint

-- name: attempts
SELECT a.job, a.token, a.generation, a.number, a.worker, a.host, a.started_at, a.ended_at, a.outcome, a.error, a.reason, a.usage, a.late
  FROM packhorse.attempts a WHERE a.job = ANY ($1::bigint[]) ORDER BY a.n

-- name: logs
SELECT job, token, text, dropped FROM packhorse.logs WHERE job = ANY ($1::bigint[]) ORDER BY n

-- name: stored
SELECT id, seq FROM packhorse.jobs WHERE ns = $1 AND id = ANY ($2::text[]) ORDER BY id FOR UPDATE

-- name: place (a job that was known keeps its number; the others are numbered in the order given)
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS v (
        place int, known bigint, id text, kind int, queue int, line int, state smallint, payload text, priority smallint, rank bigint,
        created_at bigint, scheduled_at bigint, due_at bigint, started_at bigint, finished_at bigint, expires_at bigint, options text,
        crash_fails boolean, suspect boolean, failures int, crashes int, losses int, snoozes int, generation int, fence bigint,
        token text, worker text, tags text, meta text, made_by text, parent text, result text, result_until bigint, error text,
        reason text, progress text, cancel_at bigint, cancel_by text, cancel_reason text, claim_no bigint,
        holds text, after text, after_flow text, after_failed boolean, flow text, unique_key text, unique_until text, unique_end bigint,
        held_key text, place_in_line bigint, given_up text, waiting boolean)
), job AS (
    INSERT INTO packhorse.jobs (
        seq, ns, id, kind, line, state, shelf, payload, priority, rank, created_at, scheduled_at, due_at, started_at, finished_at,
        expires_at, waits_until, options, crash_fails, suspect, failures, crashes, losses, snoozes, generation, fence, token, worker,
        tags, meta, made_by, parent, result, result_until, drop_at, error, reason, progress, cancel_at, cancel_by, cancel_reason,
        claim_no, holds, after, after_flow, after_failed, flow, unique_key, unique_until, unique_end, held_key, place, given_up, waiting)
    SELECT coalesce(known, nextval('packhorse.jobs_seq_seq')), $2, id, kind, line, state,
           CASE WHEN state NOT IN (:QUEUED, :RUNNING, :SUCCEEDED) THEN state END, payload, priority, rank, created_at, scheduled_at,
           due_at, started_at, finished_at, expires_at,
           CASE WHEN state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) THEN expires_at END, options, crash_fails, suspect, failures,
           crashes, losses, snoozes, generation, fence, token, worker, tags, meta, made_by, parent, result, result_until,
           CASE WHEN result IS NOT NULL THEN result_until END, error, reason, progress, cancel_at, cancel_by, cancel_reason, claim_no,
           holds, after, after_flow, nullif(after_failed, false), flow, unique_key, unique_until, unique_end, held_key, place_in_line, given_up,
           waiting
      FROM (SELECT * FROM v ORDER BY place) AS v
    RETURNING id, seq, line, rank, expires_at, priority, crash_fails OR suspect OR holds IS NOT NULL AS solo, state, token, worker
), r AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo)
    SELECT rank, seq, expires_at, line, priority, solo FROM job WHERE state = :QUEUED
), c AS (
    INSERT INTO packhorse.claims AS old (token, ns, worker, seqs)
    SELECT token, $2, worker, array_agg(seq) FROM job WHERE state = :RUNNING AND token IS NOT NULL GROUP BY token, worker
    ON CONFLICT (token, ns) DO UPDATE SET seqs = ARRAY(SELECT DISTINCT unnest(old.seqs || excluded.seqs))
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs) SELECT queue, state, count(*) FROM v GROUP BY queue, state
)
SELECT id, seq FROM job
