-- name: idle (whether something waits, and whether something is to be looked at; the condition of an index is repeated, here and below)
SELECT EXISTS (SELECT 1 FROM packhorse_rules WHERE ns = :ns AND stage IN (2, 3, 4, 5, 6)),
       EXISTS (SELECT 1 FROM packhorse_freed WHERE ns = :ns)

-- name: due (whether there are any that nobody has looked at, or whom a rate may let go)
SELECT EXISTS (SELECT 1 FROM packhorse_rules WHERE ns = :ns AND stage = 6 AND behind IS NULL)
       OR EXISTS (SELECT 1 FROM packhorse_rates WHERE ns = :ns AND wakes IS NOT NULL AND wakes <= :now)

-- name: to_follow
SELECT kind, what, upto FROM packhorse_freed WHERE ns = :ns AND kind IN (2, 3)

-- name: children (of a parent, that wait and do not know of it)
SELECT u.seq, u.stage
  FROM packhorse_edges e CROSS JOIN packhorse_rules u ON u.seq = e.child
 WHERE e.ns = :ns AND e.parent = :what AND e.child > :upto AND u.stage IN (3, 4, 5, 6)
 ORDER BY e.child LIMIT :room

-- name: followers (of a flow, likewise; those asleep only if it is over)
SELECT seq, stage
  FROM packhorse_rules
 WHERE ns = :ns AND after_flow = :what AND stage > 0 AND seq > :upto AND stage IN (3, 4, 5, 6) AND (:over OR stage > 3)
 ORDER BY seq LIMIT :room

-- name: followed
DELETE FROM packhorse_freed WHERE ns = :ns AND kind = :kind AND what = :what

-- name: followed_upto
UPDATE packhorse_freed SET upto = :upto WHERE ns = :ns AND kind = :kind AND what = :what

-- name: flow (how many of its members have not ended, but those that wait for it; how many failed or were cancelled)
SELECT n_queued + n_running + n_scheduled + n_retrying + n_blocked
       - (SELECT count(*) FROM packhorse_rules u
           WHERE u.ns = :ns AND u.after_flow = :flow AND u.after_flow IS NOT NULL AND u.stage > 0 AND u.flow = :flow),
       n_failed + n_cancelled
  FROM packhorse_flows WHERE ns = :ns AND name = :flow

-- name: flow_failure (its oldest)
SELECT j.id
  FROM packhorse_rules u JOIN packhorse_jobs j ON j.seq = u.seq
 WHERE u.ns = :ns AND u.flow = :flow AND u.state > 7 AND (u.after_flow IS NULL OR u.after_flow <> :flow)
 ORDER BY u.seq LIMIT 1

-- name: new (with: whether a parent has not ended; the first that failed or was cancelled)
SELECT u.seq, u.queue, u.place IS NOT NULL, u.after_flow, u.after_failed,
       EXISTS (SELECT 1 FROM packhorse_edges e CROSS JOIN packhorse_jobs p ON p.ns = e.ns AND p.id = e.parent
                WHERE e.child = u.seq AND p.state < 7),
       (SELECT e.parent FROM packhorse_edges e CROSS JOIN packhorse_jobs p ON p.ns = e.ns AND p.id = e.parent
         WHERE e.child = u.seq AND p.state > 7 ORDER BY e.n LIMIT 1)
  FROM packhorse_rules u
 WHERE u.ns = :ns AND u.stage = 2 AND u.stage IN (2, 3, 4, 5, 6)
 ORDER BY u.seq LIMIT :room

-- name: queues (of those that have what they wait for; a jump from one to the next)
WITH RECURSIVE each (queue) AS (
    SELECT min(queue) FROM packhorse_rules WHERE ns = :ns AND stage IN (4, 5, 6)
    UNION ALL
    SELECT (SELECT min(queue) FROM packhorse_rules WHERE ns = :ns AND queue > each.queue AND stage IN (4, 5, 6))
      FROM each WHERE each.queue IS NOT NULL
)
SELECT queue FROM each WHERE queue IS NOT NULL

-- name: at (a stage in a queue)
SELECT seq FROM packhorse_rules
 WHERE ns = :ns AND queue = :queue AND stage = :stage AND stage IN (4, 5, 6) ORDER BY seq LIMIT :limit

-- name: queue
SELECT name, paused_at IS NULL FROM packhorse_lines WHERE id = ?

-- name: workers
SELECT queues FROM packhorse_workers WHERE ns = ? AND state = 'live'

-- name: stage
UPDATE packhorse_rules SET stage = ?, behind = NULL WHERE seq = ?

-- name: place
UPDATE packhorse_rules SET stage = 6, place = ?, behind = NULL WHERE seq = ?

-- name: place_holds
UPDATE packhorse_holds SET stage = 6, place = ? WHERE seq = ?

-- name: last_place
SELECT last_place FROM packhorse_namespaces WHERE id = ?

-- name: set_last_place
UPDATE packhorse_namespaces SET last_place = ? WHERE id = ?

-- name: given_up
UPDATE packhorse_rules SET given_up = ? WHERE seq = ?

-- name: let_go
UPDATE packhorse_jobs SET state = 2 WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: freed_names
SELECT what FROM packhorse_freed WHERE ns = :ns AND kind = 1

-- name: forget_names
DELETE FROM packhorse_freed WHERE ns = :ns AND kind = 1

-- name: free_name
INSERT OR IGNORE INTO packhorse_freed (ns, kind, what) VALUES (?, 1, ?)

-- name: due_rates
SELECT name FROM packhorse_rates WHERE ns = :ns AND wakes IS NOT NULL AND wakes <= :now

-- name: unseen (those nobody has looked at since they came to stand, by place)
SELECT place, seq, queue, holds, behind FROM packhorse_rules
 WHERE ns = :ns AND stage = 6 AND behind IS NULL ORDER BY place LIMIT :limit

-- name: behind (a name, by place)
SELECT place, seq, queue, holds, behind FROM packhorse_rules
 WHERE ns = :ns AND stage = 6 AND behind = :behind AND place > :after AND place <= :bound ORDER BY place LIMIT 50

-- name: line (of a name: whether it is held in each mode, and the first place of each)
SELECT EXISTS (SELECT 1 FROM packhorse_holds WHERE ns = :ns AND name = :name AND stage = 7 AND mode = 'x'),
       EXISTS (SELECT 1 FROM packhorse_holds WHERE ns = :ns AND name = :name AND stage = 7),
       (SELECT min(place) FROM packhorse_holds WHERE ns = :ns AND name = :name AND stage = 6 AND mode = 'x'),
       (SELECT min(place) FROM packhorse_holds WHERE ns = :ns AND name = :name AND stage = 6 AND mode = 's'),
       (SELECT min(place) FROM packhorse_holds WHERE ns = :ns AND name = :name AND stage = 6 AND mode = 'l')

-- name: places_taken
SELECT count(*) FROM packhorse_holds WHERE ns = :ns AND name = :name AND stage = 7 AND mode = 'l'

-- name: first_without (a place of a limit)
SELECT place FROM packhorse_holds
 WHERE ns = :ns AND name = :name AND stage = 6 AND mode = 'l' ORDER BY place LIMIT 1 OFFSET :free

-- name: sleep
UPDATE packhorse_rules SET behind = ? WHERE seq = ?

-- name: tat
SELECT tat FROM packhorse_rates WHERE ns = ? AND name = ?

-- name: put_rate
INSERT INTO packhorse_rates (ns, name, tat, wakes) VALUES (?, ?, ?, ?)
ON CONFLICT (ns, name) DO UPDATE SET tat = excluded.tat, wakes = excluded.wakes

-- name: is_slept_behind
SELECT EXISTS (SELECT 1 FROM packhorse_rules WHERE ns = ? AND stage = 6 AND behind = ?)

-- name: next_rates
SELECT name, wakes FROM packhorse_rates WHERE ns = :ns AND wakes IS NOT NULL ORDER BY wakes
