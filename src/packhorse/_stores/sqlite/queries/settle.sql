-- name: plain (successes of which nothing but the job's own row has to be touched. As an insert that meets the job's row: so
-- SQLite finds the row once, where UPDATE ... FROM finds it twice. A job that is not there leaves a row in namespace 0.
-- A job of which more has become known since it was claimed, that others wait for it say, is passed over.)
INSERT INTO packhorse_jobs (claim, ns, seq, started_at, finished_at, result, id, kind, line, state, odd, priority, rank,
                            created_at, payload)
SELECT ?1, 0, v.column1, v.column2, v.column3, v.column4, '', 0, 0, 0, ?2, 0, 0, 0, ''
  FROM (VALUES (?, ?, ?, ?)) AS v WHERE true
ON CONFLICT (seq) DO UPDATE
   SET state = 7, finished_at = excluded.finished_at, result = excluded.result,
       started_at = iif(excluded.started_at = -1152921504606846976, started_at, excluded.started_at)
 WHERE state = 3 AND claim = ?1 AND odd < excluded.odd

-- name: strays
SELECT EXISTS (SELECT 1 FROM packhorse_jobs WHERE ns = 0)

-- name: results
INSERT OR REPLACE INTO packhorse_results (seq, result) SELECT v.column1, v.column2 FROM (VALUES (?, ?)) AS v

-- name: job
SELECT r.seq, state, token, started_at, failures, crashes, losses, snoozes, generation, worker, cancel_at, cancel_reason,
       error, rank, line_id, queue_id, scheduled_at, due_at, priority, crash_fails, expires_at, result_until,
       claim, ruled, holds IS NOT NULL
  FROM packhorse_records r WHERE ns = :ns AND id = :id

-- name: move
UPDATE packhorse_jobs
   SET state = :state, line = :line, odd = :odd, rank = :rank, result = :has_result,
       started_at = coalesce(:started_at, -1152921504606846976), finished_at = coalesce(:finished_at, -1152921504606846976)
 WHERE seq = :seq

-- name: details
INSERT INTO packhorse_details (seq, ns, scheduled_at, due_at, result_until, drop_at, suspect, failures, crashes, losses, snoozes,
                               cancel_reason, error, reason)
VALUES (:seq, :ns, :scheduled_at, :due_at, :result_until, :result_until, :suspect, :failures, :crashes, :losses, :snoozes,
        :cancel_reason, :error, :reason)
ON CONFLICT (seq) DO UPDATE
   SET scheduled_at = excluded.scheduled_at, due_at = excluded.due_at, result_until = excluded.result_until,
       drop_at = excluded.drop_at,
       waits_until = CASE WHEN :final THEN NULL ELSE expires_at END,
       suspect = excluded.suspect, failures = excluded.failures, crashes = excluded.crashes,
       losses = excluded.losses, snoozes = excluded.snoozes, cancel_reason = excluded.cancel_reason,
       error = excluded.error, reason = excluded.reason

-- name: attempt
INSERT OR REPLACE INTO packhorse_attempts (job, token, generation, number, worker, host, started_at, ended_at, outcome, error, reason,
                                usage)
VALUES (:seq, :token, :generation, :number, :worker,
        (SELECT host FROM packhorse_workers w
          WHERE w.id = :worker AND w.ns = (SELECT ns FROM packhorse_jobs WHERE seq = :seq)),
        :started_at, :ended_at, :outcome, :error, :reason, :usage)

-- name: log
INSERT INTO packhorse_logs (job, token, text, dropped) VALUES (:seq, :token, :text, :dropped)
ON CONFLICT (job, token) DO UPDATE SET text = excluded.text, dropped = excluded.dropped

-- name: outcome
SELECT outcome FROM packhorse_attempts WHERE job = :seq AND token = :token

-- name: late
UPDATE packhorse_attempts SET late = :late WHERE job = :seq AND token = :token
