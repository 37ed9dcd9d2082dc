-- name: job
SELECT u.seq, u.queue, u.place, u.holds, u.after_flow
  FROM packhorse_jobs j JOIN packhorse_rules u ON u.seq = j.seq
 WHERE j.ns = :ns AND j.id = :id AND u.stage IN (2, 3, 4, 5, 6)

-- name: parent (the first that has not ended)
SELECT e.parent FROM packhorse_edges e CROSS JOIN packhorse_jobs p ON p.ns = e.ns AND p.id = e.parent
 WHERE e.child = :seq AND p.state < 7 ORDER BY e.n LIMIT 1

-- name: holders (how many, and the oldest)
SELECT count(*), min(seq) FROM packhorse_holds
 WHERE ns = :ns AND name = :name AND stage = 7 AND mode IN (SELECT value FROM json_each(:modes))

-- name: oldest (holders, and how many there are)
SELECT j.id, count(*) OVER ()
  FROM packhorse_holds h CROSS JOIN packhorse_jobs j ON j.seq = h.seq
 WHERE h.ns = :ns AND h.name = :name AND h.stage = 7 AND h.mode IN (SELECT value FROM json_each(:modes))
 ORDER BY h.seq LIMIT :limit

-- name: holding
SELECT h.name, h.mode, count(*)
  FROM (SELECT DISTINCT value AS name FROM json_each(:names)) n CROSS JOIN packhorse_holds h
 WHERE h.ns = :ns AND h.name = n.name AND h.stage = 7 GROUP BY h.name, h.mode

-- name: holder
SELECT j.id, iif(j.state = 3, nullif(j.started_at, -1152921504606846976), NULL) FROM packhorse_jobs j WHERE j.seq = :seq

-- name: before (those who wait for a name before a place, and what may be in the way of each)
SELECT h.seq, h.place, u.queue, u.after_flow,
       u.after IS NOT NULL
       AND EXISTS (SELECT 1 FROM packhorse_edges e CROSS JOIN packhorse_jobs p ON p.ns = e.ns AND p.id = e.parent
                    WHERE e.child = u.seq AND p.state < 7)
  FROM packhorse_holds h CROSS JOIN packhorse_rules u ON u.seq = h.seq
 WHERE h.ns = :ns AND h.name = :name AND h.stage IN (2, 3, 5, 6) AND h.mode IN (SELECT value FROM json_each(:modes))
   AND h.place < :place AND h.seq <> :seq
 ORDER BY h.place
