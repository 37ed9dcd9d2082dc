-- name: records
SELECT r.id, r.seq, task, queue, state, payload, priority, rank, created_at, scheduled_at, due_at, started_at, finished_at,
       expires_at, options, crash_fails, suspect, failures, crashes, losses, snoozes, generation, fence, token, worker,
       line, tags, meta, made_by, r.parent, result, result_until, error, reason, progress, cancel_at, cancel_by,
       holds, after, after_flow, after_failed, flow, unique_key, unique_until, unique_held, unique_end, place, parked, given_up
  FROM json_each(:seqs) AS e CROSS JOIN packhorse_records r ON r.seq = e.value
 ORDER BY e.key

-- name: by_id
SELECT r.id, r.seq, task, queue, state, payload, priority, rank, created_at, scheduled_at, due_at, started_at, finished_at,
       expires_at, options, crash_fails, suspect, failures, crashes, losses, snoozes, generation, fence, token, worker,
       line, tags, meta, made_by, r.parent, result, result_until, error, reason, progress, cancel_at, cancel_by,
       holds, after, after_flow, after_failed, flow, unique_key, unique_until, unique_held, unique_end, place, parked, given_up
  FROM json_each(:ids) AS e CROSS JOIN packhorse_records r ON r.ns = :ns AND r.id = e.value
 ORDER BY e.key

-- name: ending (in one stretch of the ids)
SELECT id FROM packhorse_jobs
 WHERE ns = :ns AND id >= :from AND (:below IS NULL OR id < :below) AND substr(id, -8) = :ending
 ORDER BY id DESC LIMIT 5

-- name: stretch (where the one before this begins)
SELECT id FROM packhorse_jobs WHERE ns = :ns AND (:below IS NULL OR id < :below) ORDER BY id DESC LIMIT 1 OFFSET :size - 1

-- name: total
SELECT coalesce(sum(n_queued + n_running + n_scheduled + n_retrying + n_blocked + n_succeeded + n_failed + n_cancelled), 0)
       + (SELECT count(*) FROM packhorse_jobs
           WHERE seq > (SELECT value FROM packhorse_meta WHERE key = 'counted') AND +ns = :ns)
  FROM packhorse_lines WHERE ns = :ns

-- name: attempts
SELECT :id, a.token, a.generation, a.number, a.worker, a.host, a.started_at, a.ended_at, a.outcome, a.error, a.reason,
       a.usage, a.late
  FROM packhorse_attempts a WHERE a.job = (SELECT seq FROM packhorse_jobs WHERE ns = :ns AND id = :id)
 ORDER BY a.n

-- name: last_attempts (of many jobs)
SELECT j.id, a.token, a.generation, a.number, a.worker, a.host, a.started_at, a.ended_at, a.outcome, a.error, a.reason,
       a.usage, a.late
  FROM json_each(:ids) AS e CROSS JOIN packhorse_jobs j ON j.ns = :ns AND j.id = e.value
 CROSS JOIN packhorse_attempts a ON a.n = (SELECT max(n) FROM packhorse_attempts WHERE job = j.seq)
 ORDER BY e.key

-- name: first_success (which has written no row of its own)
SELECT r.id, r.token, r.generation, 1 + r.failures + r.crashes + r.losses, r.worker,
       (SELECT host FROM packhorse_workers w WHERE w.id = r.worker AND w.ns = r.ns), r.started_at, r.finished_at, 'succeeded', NULL,
       r.reason, NULL, NULL
  FROM packhorse_records r
 WHERE r.ns = :ns AND r.id = :id AND r.state = 7 AND r.token IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM packhorse_attempts a WHERE a.job = r.seq AND a.token = r.token)

-- name: log
SELECT token, text, dropped FROM packhorse_logs
 WHERE job = (SELECT seq FROM packhorse_jobs WHERE ns = :ns AND id = :id) AND (:token IS NULL OR token = :token)
 ORDER BY n

-- name: queues
SELECT id, name, paused_at, paused_by, paused_reason, paused_until, step,
       n_queued, n_running, n_scheduled, n_retrying, n_blocked, n_succeeded, n_failed, n_cancelled
  FROM packhorse_lines
 WHERE ns = :ns AND side_of IS NULL AND (:names IS NULL OR name IN (SELECT value FROM json_each(:names)))
 ORDER BY name

-- name: lines_of
SELECT id FROM packhorse_lines WHERE id = :queue OR side_of = :queue

-- name: head (the first of one priority that has its first rank)
SELECT seq, created_at FROM packhorse_jobs
 WHERE line = :line AND state = 2 AND priority = :priority AND rank = :rank ORDER BY seq LIMIT 1

-- name: place
SELECT line, rank, seq FROM packhorse_jobs WHERE ns = :ns AND id = :id AND state = 2

-- name: before (of one priority)
SELECT count(*) FROM (
    SELECT 1 FROM packhorse_jobs j
     WHERE line = :line AND priority = :priority AND state = 2 AND (rank, seq) < (:rank, :seq)
       AND (odd < 2 OR NOT EXISTS (SELECT 1 FROM packhorse_details d WHERE d.seq = j.seq AND d.expires_at <= :now))
     LIMIT :limit)
