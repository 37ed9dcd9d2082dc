-- name: due (and whether it waits for admit then, and has rules, a flow or a key at all)
SELECT d.seq, j.state, k.queue, coalesce(u.holds, u.after, u.after_flow) IS NOT NULL, u.seq IS NOT NULL
  FROM packhorse_details d JOIN packhorse_jobs j ON j.seq = d.seq JOIN packhorse_kinds k ON k.id = j.kind
  LEFT JOIN packhorse_rules u ON u.seq = iif(j.odd > 1, j.seq, NULL)
 WHERE d.ns = :ns AND d.due_at <= :now
 ORDER BY d.due_at, d.seq LIMIT :limit

-- name: promote
UPDATE packhorse_jobs SET state = :state WHERE seq IN (SELECT value FROM json_each(:seqs)) AND state IN (4, 5)

-- name: promoted
UPDATE packhorse_details SET due_at = NULL WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: next_due (or the next pause that is over)
SELECT min(at)
  FROM (SELECT min(due_at) AS at FROM packhorse_details WHERE ns = :ns AND due_at IS NOT NULL
        UNION ALL
        SELECT min(paused_until) FROM packhorse_lines WHERE ns = :ns AND paused_until IS NOT NULL)

-- name: running
SELECT seq, meta FROM packhorse_records WHERE ns = :ns AND id = :id AND state = 3 AND token = :token

-- name: started
UPDATE packhorse_jobs SET started_at = :started_at WHERE seq = :seq

-- name: news
INSERT INTO packhorse_details (seq, ns, progress, meta) VALUES (:seq, :ns, :progress, :meta)
ON CONFLICT (seq) DO UPDATE
   SET progress = coalesce(excluded.progress, progress), meta = coalesce(excluded.meta, meta)

-- name: has_news
UPDATE packhorse_jobs SET odd = 1 WHERE seq = :seq AND odd = 0

-- name: expired
SELECT d.seq, j.id, j.state, k.queue
  FROM packhorse_details d JOIN packhorse_jobs j ON j.seq = d.seq JOIN packhorse_kinds k ON k.id = j.kind
 WHERE d.ns = :ns AND d.waits_until <= :now AND j.state IN (2, 4, 5, 6)
 ORDER BY d.waits_until, d.seq LIMIT :limit

-- name: expire
UPDATE packhorse_jobs SET state = 9, finished_at = :now WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: expire_details
UPDATE packhorse_details SET due_at = NULL, waits_until = NULL, suspect = 0, reason = 'expired'
 WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: orphans
SELECT r.id, r.token, r.task, r.worker, w.host, r.started_at IS NOT NULL, r.crash_fails, r.failures, r.crashes, r.losses,
       r.generation, r.snoozes,
       EXISTS (SELECT 1 FROM packhorse_holds h WHERE h.seq = r.seq AND h.mode <> 'l'), coalesce(w.proved, 0)
  FROM packhorse_running u
  LEFT JOIN packhorse_workers w ON w.id = u.worker AND w.ns = u.ns
  CROSS JOIN packhorse_records r ON r.seq = u.seq
 WHERE (w.id IS NULL OR w.state = 'dead') AND u.ns = :ns
 ORDER BY u.seq LIMIT :limit

-- name: blocked
SELECT r.seq, r.queue_id, coalesce(holds, after, after_flow) IS NOT NULL
  FROM packhorse_jobs j CROSS JOIN packhorse_records r ON r.seq = j.seq
 WHERE j.line = :line AND j.state = 6 AND r.parked

-- name: resolve
UPDATE packhorse_jobs SET state = 2 WHERE seq IN (SELECT value FROM json_each(:seqs)) AND state = 6

-- name: resolved
UPDATE packhorse_details SET reason = NULL WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: kinds
SELECT id, queue FROM packhorse_kinds WHERE ns = :ns

-- name: stored_at (of the first from a number on)
SELECT created_at FROM packhorse_jobs
 WHERE kind = :kind AND state = :state AND state NOT IN (2, 3) AND seq >= :seq ORDER BY seq LIMIT 1

-- name: range
SELECT (SELECT min(seq) FROM packhorse_jobs WHERE kind = :kind AND state = :state AND state NOT IN (2, 3)),
       (SELECT max(seq) FROM packhorse_jobs WHERE kind = :kind AND state = :state AND state NOT IN (2, 3))

-- name: span
SELECT (SELECT min(seq) FROM packhorse_jobs), (SELECT max(seq) FROM packhorse_jobs)

-- name: ended (a stretch of those of a kind, and which of them may go)
SELECT seq, finished_at < :before
   AND (odd = 0 OR NOT EXISTS (
        SELECT 1 FROM packhorse_details d
         WHERE d.seq = packhorse_jobs.seq AND d.options LIKE '%"kept_for"%'
           AND finished_at >= :now - 1000000 * json_extract(d.options, '$.kept_for')))
   AND (odd < 2 OR NOT EXISTS (
        SELECT 1 FROM packhorse_rules u
         WHERE u.seq = packhorse_jobs.seq
           AND (EXISTS (SELECT 1 FROM packhorse_edges e WHERE e.ns = u.ns AND e.parent = packhorse_jobs.id)
                OR EXISTS (SELECT 1 FROM packhorse_rules f WHERE f.ns = u.ns AND f.after_flow = u.flow AND f.stage > 0)
                OR (u.unique_held = 1 AND u.unique_end > :now)
                OR (u.unique_held = 1 AND u.unique_until = 'flow' AND EXISTS (
                    SELECT 1 FROM packhorse_flows f
                     WHERE f.ns = u.ns AND f.name = u.flow
                       AND f.n_queued + f.n_running + f.n_scheduled + f.n_retrying + f.n_blocked > 0)))))
  FROM packhorse_jobs
 WHERE kind = :kind AND state = :state AND state NOT IN (2, 3) AND seq > :from AND seq <= :last
 ORDER BY seq LIMIT :window

-- name: logged (a stretch of the jobs that have logs, those of other namespaces among them)
SELECT j.seq, j.ns = :ns AND j.state > 6 AND j.finished_at < :before, j.created_at
  FROM (SELECT DISTINCT job FROM packhorse_logs WHERE job > :from ORDER BY job LIMIT :limit) AS l
  JOIN packhorse_jobs j ON j.seq = l.job ORDER BY j.seq

-- name: over
SELECT d.seq FROM packhorse_details d
 WHERE d.ns = :ns AND d.drop_at <= :now
   AND NOT EXISTS (
        SELECT 1 FROM packhorse_rules u
         WHERE u.seq = d.seq
           AND (EXISTS (SELECT 1 FROM packhorse_edges e
                         WHERE e.ns = u.ns AND e.parent = (SELECT id FROM packhorse_jobs j WHERE j.seq = u.seq))
                OR EXISTS (SELECT 1 FROM packhorse_rules f WHERE f.ns = u.ns AND f.after_flow = u.flow AND f.stage > 0)))
 LIMIT :limit

-- name: drop_results
UPDATE packhorse_jobs SET result = NULL WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: dropped_results
UPDATE packhorse_details SET drop_at = NULL WHERE seq IN (SELECT value FROM json_each(:seqs))
