-- name: closed (where the jobs of a namespace are going; read by every enqueue and claim)
SELECT value FROM packhorse_meta WHERE key = ?

-- name: close
INSERT INTO packhorse_meta (key, value) VALUES (:key, :to) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: open
DELETE FROM packhorse_meta WHERE key = :key

-- name: next (by number: the index by namespace would have to be sorted)
SELECT seq FROM packhorse_jobs WHERE seq > :after AND +ns = :ns ORDER BY seq LIMIT :limit

-- name: more (what a record does not tell)
SELECT r.seq, r.claim_no, r.cancel_reason
  FROM json_each(:seqs) AS e CROSS JOIN packhorse_records r ON r.seq = e.value
 WHERE r.state = 3

-- name: attempts
SELECT a.job, j.id, a.token, a.generation, a.number, a.worker, a.host, a.started_at, a.ended_at, a.outcome, a.error, a.reason,
       a.usage, a.late
  FROM json_each(:seqs) AS e CROSS JOIN packhorse_attempts a ON a.job = e.value CROSS JOIN packhorse_jobs j ON j.seq = a.job
 ORDER BY a.job, a.n

-- name: logs
SELECT l.job, l.token, l.text, l.dropped
  FROM json_each(:seqs) AS e CROSS JOIN packhorse_logs l ON l.job = e.value
 ORDER BY l.job, l.n

-- name: stored
SELECT j.id, j.seq, j.state, k.queue, j.claim
  FROM json_each(:ids) AS e CROSS JOIN packhorse_jobs j ON j.ns = :ns AND j.id = e.value
  JOIN packhorse_kinds k ON k.id = j.kind

-- name: last
SELECT coalesce(max(seq), 0) FROM packhorse_jobs

-- name: claim (what jobs of one claim shared where they come from; found by their numbers while they run)
INSERT INTO packhorse_claims (ns, worker, token, claim_no, fence, jobs, running, first, last, members)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: job
INSERT INTO packhorse_jobs (ns, seq, id, kind, line, state, odd, priority, rank, created_at, claim, started_at, finished_at, result,
                            made_by, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: result
INSERT INTO packhorse_results (seq, result) VALUES (?, ?)

-- name: details
INSERT INTO packhorse_details (ns, seq, scheduled_at, due_at, expires_at, waits_until, result_until, drop_at, crash_fails, suspect,
                               failures, crashes, losses, snoozes, generation, cancel_at, cancel_by, cancel_reason, parent, options,
                               tags, meta, error, reason, progress)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: attempt
INSERT INTO packhorse_attempts (job, token, generation, number, worker, host, started_at, ended_at, outcome, error, reason, usage,
                                late)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: log
INSERT INTO packhorse_logs (job, token, text, dropped) VALUES (?, ?, ?, ?)

-- name: last_place
UPDATE packhorse_namespaces SET last_place = max(last_place, ?) WHERE id = ?
