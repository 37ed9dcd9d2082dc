-- name: plain (successes of which nothing but the job's own row has to be touched; the caller checks that all were.
-- The token is set to what it is, so that the parameter which all rows share comes first.)
UPDATE packhorse_jobs
   SET token = ?1, state = 5, started_at = coalesce(v.column2, started_at), finished_at = v.column3, result = v.column4
  FROM (VALUES (?, ?, ?, ?)) AS v
 WHERE packhorse_jobs.seq = v.column1 AND state = 1 AND token = ?1

-- name: job
SELECT r.seq, state, token, started_at, failures, crashes, losses, snoozes, generation, worker, cancel_at, cancel_reason,
       error, rank, line_id, queue_id, scheduled_at, due_at, priority, crash_fails, expires_at, result_until
  FROM packhorse_records r WHERE ns = :ns AND id = :id

-- name: move
UPDATE packhorse_jobs
   SET state = :state, line = :line, odd = :odd, rank = :rank, started_at = :started_at, finished_at = :finished_at,
       result = :result
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
VALUES (:seq, :token, :generation, :number, :worker, (SELECT host FROM packhorse_workers WHERE id = :worker), :started_at,
        :ended_at, :outcome, :error, :reason, :usage)

-- name: log
INSERT INTO packhorse_logs (job, token, text, dropped) VALUES (:seq, :token, :text, :dropped)
ON CONFLICT (job, token) DO UPDATE SET text = excluded.text, dropped = excluded.dropped

-- name: outcome
SELECT outcome FROM packhorse_attempts WHERE job = :seq AND token = :token

-- name: late
UPDATE packhorse_attempts SET late = :late WHERE job = :seq AND token = :token
