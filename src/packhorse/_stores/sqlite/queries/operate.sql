-- name: ask (a cancel that was asked for before keeps its time and its reason)
INSERT INTO packhorse_details (seq, ns, cancel_at, cancel_by, cancel_reason) VALUES (:seq, :ns, :now, :by, :reason)
ON CONFLICT (seq) DO UPDATE
   SET cancel_at = excluded.cancel_at, cancel_by = excluded.cancel_by, cancel_reason = excluded.cancel_reason
 WHERE cancel_at IS NULL

-- name: make_live
UPDATE packhorse_jobs SET odd = max(odd, 2) WHERE seq = :seq

-- name: cancel
UPDATE packhorse_jobs SET state = 9, finished_at = :now, odd = max(odd, 2) WHERE seq = :seq

-- name: cancel_details
INSERT INTO packhorse_details (seq, ns, cancel_by, reason) VALUES (:seq, :ns, :by, :reason)
ON CONFLICT (seq) DO UPDATE
   SET due_at = NULL, waits_until = NULL, suspect = 0, cancel_by = excluded.cancel_by, reason = excluded.reason

-- name: first_success
INSERT INTO packhorse_attempts (job, token, generation, number, worker, host, started_at, ended_at, outcome, reason)
SELECT r.seq, r.token, r.generation, 1 + r.failures + r.crashes + r.losses, r.worker,
       (SELECT host FROM packhorse_workers w WHERE w.id = r.worker AND w.ns = r.ns), r.started_at, r.finished_at, 'succeeded', r.reason
  FROM packhorse_records r
 WHERE r.seq = :seq AND r.token IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM packhorse_attempts a WHERE a.job = r.seq AND a.token = r.token)

-- name: renew
UPDATE packhorse_jobs
   SET state = :state, line = :line, rank = :rank, odd = :odd, result = NULL,
       started_at = -1152921504606846976, finished_at = -1152921504606846976
 WHERE seq = :seq

-- name: renew_details
INSERT INTO packhorse_details (seq, ns, scheduled_at, due_at, generation) VALUES (:seq, :ns, :due_at, :due_at, 1)
ON CONFLICT (seq) DO UPDATE
   SET scheduled_at = excluded.scheduled_at, due_at = excluded.due_at, generation = generation + 1,
       failures = 0, crashes = 0, losses = 0, snoozes = 0, suspect = 0, expires_at = NULL, waits_until = NULL,
       result_until = NULL, drop_at = NULL, error = NULL, reason = NULL, progress = NULL,
       cancel_at = NULL, cancel_by = NULL, cancel_reason = NULL

-- name: hasten
UPDATE packhorse_jobs SET state = :state, line = :line, rank = :rank, odd = :odd WHERE seq = :seq

-- name: hasten_details
UPDATE packhorse_details SET scheduled_at = :due_at, due_at = :due_at WHERE seq = :seq
