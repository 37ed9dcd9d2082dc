-- name: standing (those in lines who were kept out when they were looked at last)
SELECT u.seq, u.place, u.queue, u.holds, j.id
  FROM packhorse_rules u CROSS JOIN packhorse_jobs j ON j.seq = u.seq
 WHERE u.ns = :ns AND u.stage = 6 AND u.stage IN (2, 3, 4, 5, 6) AND u.seq > :after AND u.behind IS NOT NULL
 ORDER BY u.seq LIMIT :limit

-- name: asleep (those who wait for others; columns as those of admit's "new")
SELECT u.seq, u.queue, u.place IS NOT NULL, u.after_flow, u.after_failed,
       EXISTS (SELECT 1 FROM packhorse_edges e CROSS JOIN packhorse_jobs p ON p.ns = e.ns AND p.id = e.parent
                WHERE e.child = u.seq AND p.state < 7),
       (SELECT e.parent FROM packhorse_edges e CROSS JOIN packhorse_jobs p ON p.ns = e.ns AND p.id = e.parent
         WHERE e.child = u.seq AND p.state > 7 ORDER BY e.n LIMIT 1),
       u.after, j.id
  FROM packhorse_rules u CROSS JOIN packhorse_jobs j ON j.seq = u.seq
 WHERE u.ns = :ns AND u.stage = 3 AND u.stage IN (2, 3, 4, 5, 6) AND u.seq > :after
 ORDER BY u.seq LIMIT :limit

-- name: noted
SELECT what FROM packhorse_freed WHERE ns = :ns AND kind = :kind
