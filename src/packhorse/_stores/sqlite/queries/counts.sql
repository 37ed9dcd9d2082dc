-- name: add (the order of the states is that of states.py)
UPDATE packhorse_lines
   SET n_queued = n_queued + ?, n_running = n_running + ?, n_scheduled = n_scheduled + ?, n_retrying = n_retrying + ?,
       n_blocked = n_blocked + ?, n_succeeded = n_succeeded + ?, n_failed = n_failed + ?, n_cancelled = n_cancelled + ?
 WHERE id = ?

-- name: uncounted (jobs that were stored queued, one at a time mostly, and are not in the sums yet)
SELECT k.queue, count(*)
  FROM packhorse_jobs j CROSS JOIN packhorse_kinds k ON k.id = j.kind
 WHERE j.seq > (SELECT value FROM packhorse_meta WHERE key = 'counted') AND j.seq < ?
 GROUP BY k.queue

-- name: counted (now all are)
UPDATE packhorse_meta SET value = (SELECT coalesce(max(seq), 0) FROM packhorse_jobs) WHERE key = 'counted'

-- name: ended (so many jobs of a claim run no more)
UPDATE packhorse_claims SET running = running - ? WHERE no = ?
