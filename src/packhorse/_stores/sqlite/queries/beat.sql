-- name: count
UPDATE packhorse_workers SET beats = beats + 1, seen_at = :now WHERE id = :worker AND ns = :ns AND state <> 'dead'

-- name: mine
SELECT r.seq, r.id, r.token, r.claim_no, d.cancel_at, d.cancel_reason, k.queue, r.no
  FROM packhorse_running r JOIN packhorse_kinds k ON k.id = r.kind LEFT JOIN packhorse_details d ON d.seq = r.seq
 WHERE r.worker = :worker AND r.ns = :ns

-- name: ghost
UPDATE packhorse_jobs
   SET state = :state, started_at = -1152921504606846976, odd = max(odd, 2),
       finished_at = coalesce(:finished_at, -1152921504606846976)
 WHERE seq = :seq

-- name: ghost_cancelled
UPDATE packhorse_details SET suspect = 0, waits_until = NULL, reason = cancel_reason, cancel_reason = NULL WHERE seq = :seq

-- name: lines
SELECT name FROM packhorse_lines l
 WHERE ns = :ns AND side_of IS NOT NULL
   AND (EXISTS (SELECT 1 FROM packhorse_jobs WHERE line = l.id AND state = 6)
        OR EXISTS (SELECT 1 FROM packhorse_jobs WHERE line = l.id AND state = 2))
 ORDER BY name
