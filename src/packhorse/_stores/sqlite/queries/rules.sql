-- name: touched (jobs with a row, as it was brought up to them last, and as they are; state NULL: not stored)
SELECT u.seq, u.ns, j.id, u.state, j.state, u.stage, u.parked, u.holds, u.after, u.after_flow, u.flow, u.unique_until, u.unique_held,
       j.created_at, nullif(j.finished_at, -1152921504606846976)
  FROM json_each(:seqs) AS e CROSS JOIN packhorse_rules u ON u.seq = e.value CROSS JOIN packhorse_jobs j ON j.seq = u.seq

-- name: put
INSERT INTO packhorse_rules (ns, seq, queue, holds, after, after_flow, after_failed, flow, unique_key, unique_until, unique_held, unique_end,
                             place, parked, given_up)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: mark (a job that others wait for)
INSERT OR IGNORE INTO packhorse_rules (seq, ns, queue, state, stage)
SELECT j.seq, j.ns, k.queue, j.state, iif(j.state < 7, 1, 0)
  FROM packhorse_jobs j JOIN packhorse_kinds k ON k.id = j.kind WHERE j.ns = ? AND j.id = ?

-- name: mark_job
UPDATE packhorse_jobs SET odd = 2 WHERE ns = ? AND id = ? AND odd < 2

-- name: states (of those that stay where they are)
UPDATE packhorse_rules SET state = ?1, unique_held = ?2, parked = iif(?1 = 6, parked, 0) WHERE seq = ?3

-- name: stages
UPDATE packhorse_rules SET state = ?1, unique_held = ?2, stage = ?3, behind = NULL, parked = iif(?1 = 6, parked, 0) WHERE seq = ?4

-- name: hold_stages
UPDATE packhorse_holds SET stage = ? WHERE seq = ?

-- name: add_hold
INSERT INTO packhorse_holds (seq, name, mode, ns, stage, place)
SELECT ?1, ?2, ?3, u.ns, ?4, u.place FROM packhorse_rules u WHERE u.seq = ?1

-- name: add_edge
INSERT INTO packhorse_edges (child, n, ns, parent) VALUES (?, ?, ?, ?)

-- name: drop_holds
DELETE FROM packhorse_holds WHERE seq = ?

-- name: drop_edges
DELETE FROM packhorse_edges WHERE child = ?

-- name: drop
DELETE FROM packhorse_rules WHERE seq = ?

-- name: free_names (for which somebody stands who was kept out by that name)
INSERT INTO packhorse_freed (ns, kind, what)
SELECT h.ns, 1, h.name
  FROM packhorse_holds h
 WHERE h.seq = ?
   AND EXISTS (SELECT 1 FROM packhorse_rules u
                WHERE u.ns = h.ns AND u.stage = 6 AND u.behind IN ('x' || h.name, 's' || h.name, 'l' || h.name))
ON CONFLICT DO NOTHING

-- name: free_children (of a parent; from the first on)
INSERT INTO packhorse_freed (ns, kind, what)
SELECT ?1, 2, ?2 WHERE EXISTS (SELECT 1 FROM packhorse_edges WHERE ns = ?1 AND parent = ?2)
ON CONFLICT (ns, kind, what) DO UPDATE SET upto = 0

-- name: free_followers (of a flow)
INSERT INTO packhorse_freed (ns, kind, what)
SELECT ?1, 3, ?2 WHERE EXISTS (SELECT 1 FROM packhorse_rules WHERE ns = ?1 AND after_flow = ?2 AND stage > 0)
ON CONFLICT (ns, kind, what) DO UPDATE SET upto = 0

-- name: count_flow (the order of the states is that of states.py)
INSERT INTO packhorse_flows (ns, name, created_at, ended_at, n_queued, n_running, n_scheduled, n_retrying, n_blocked, n_succeeded,
                             n_failed, n_cancelled)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (ns, name) DO UPDATE
   SET created_at = min(created_at, excluded.created_at), ended_at = coalesce(max(ended_at, excluded.ended_at), ended_at, excluded.ended_at),
       n_queued = n_queued + excluded.n_queued, n_running = n_running + excluded.n_running,
       n_scheduled = n_scheduled + excluded.n_scheduled, n_retrying = n_retrying + excluded.n_retrying,
       n_blocked = n_blocked + excluded.n_blocked, n_succeeded = n_succeeded + excluded.n_succeeded,
       n_failed = n_failed + excluded.n_failed, n_cancelled = n_cancelled + excluded.n_cancelled

-- name: forget_flow (with its last member)
DELETE FROM packhorse_flows
 WHERE ns = ? AND name = ?
   AND n_queued + n_running + n_scheduled + n_retrying + n_blocked + n_succeeded + n_failed + n_cancelled = 0

-- name: named (jobs that one which has not ended names as its parent)
SELECT DISTINCT parent FROM packhorse_edges WHERE ns = :ns AND parent IN (SELECT value FROM json_each(:ids))

-- name: those_behind (who gave up because of a job)
SELECT seq FROM packhorse_rules WHERE ns = ? AND given_up = ?

-- name: held_by
SELECT u.seq, u.queue, j.id, j.state, j.created_at, d.scheduled_at
  FROM packhorse_rules u JOIN packhorse_jobs j ON j.seq = u.seq LEFT JOIN packhorse_details d ON d.seq = u.seq
 WHERE u.ns = :ns AND u.unique_key = :key AND u.unique_held = 1 AND (u.unique_end IS NULL OR u.unique_end > :now)
   AND (u.unique_until <> 'flow' OR j.state < 7 OR EXISTS (
        SELECT 1 FROM packhorse_flows f
         WHERE f.ns = u.ns AND f.name = u.flow AND f.n_queued + f.n_running + f.n_scheduled + f.n_retrying + f.n_blocked > 0))

-- name: let_go_of
UPDATE packhorse_rules SET unique_held = 0 WHERE ns = ? AND unique_key = ? AND unique_held = 1

-- name: renew
UPDATE packhorse_rules
   SET place = NULL, given_up = NULL, unique_held = iif(unique_key IS NOT NULL AND unique_until <> 'time', 1, unique_held)
 WHERE seq = ?

-- name: park
UPDATE packhorse_rules SET parked = ? WHERE seq = ?
