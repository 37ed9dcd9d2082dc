-- name: count
UPDATE packhorse_workers SET beats = beats + 1, seen_at = :now WHERE id = :worker AND ns = :ns AND state <> 'dead'

-- name: mine
SELECT j.seq, j.id, j.token, j.claim_no, d.cancel_at, d.cancel_reason, k.queue
  FROM packhorse_jobs j JOIN packhorse_kinds k ON k.id = j.kind LEFT JOIN packhorse_details d ON d.seq = j.seq
 WHERE j.worker = :worker AND j.state = 1 AND j.ns = :ns

-- name: ghost
UPDATE packhorse_jobs
   SET state = :state, started_at = NULL, odd = max(odd, 2), finished_at = :finished_at
 WHERE seq = :seq

-- name: ghost_cancelled
UPDATE packhorse_details SET suspect = 0, waits_until = NULL, reason = cancel_reason, cancel_reason = NULL WHERE seq = :seq

-- name: lines
SELECT name FROM packhorse_lines l
 WHERE ns = :ns AND side_of IS NOT NULL
   AND (EXISTS (SELECT 1 FROM packhorse_jobs WHERE line = l.id AND state = 4)
        OR EXISTS (SELECT 1 FROM packhorse_jobs WHERE line = l.id AND state = 0))
 ORDER BY name
