-- name: page (of those who wait, and whom admit is not about to look at)
SELECT w.seq, w.place, w.queue, w.done, EXISTS (SELECT FROM packhorse.wants x WHERE x.seq = w.seq)
  FROM packhorse.waits w WHERE w.ns = $1 AND w.seq > $2 AND NOT w.look ORDER BY w.seq LIMIT $3::bigint

-- name: stale (jobs that wait for others which have ended, as nobody has noted)
SELECT DISTINCT e.child
  FROM unnest($2::bigint[]) AS v (seq)
 CROSS JOIN LATERAL (SELECT e.child, e.kind, e.target FROM packhorse.edges e
                      WHERE e.child = v.seq AND e.state = 0 AND e.kind < 2 OFFSET 0) e
 WHERE CASE WHEN e.kind = 0 THEN
        NOT EXISTS (SELECT FROM packhorse.jobs j WHERE j.ns = $1 AND j.id = e.target AND j.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED))
       ELSE
        NOT EXISTS (SELECT FROM packhorse.members m
                     CROSS JOIN LATERAL (SELECT FROM packhorse.jobs j
                                          WHERE j.seq = m.seq AND j.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) OFFSET 0) j
                     WHERE m.ns = $1 AND m.flow = e.target AND NOT m.follows)
       END
   AND NOT EXISTS (SELECT FROM packhorse.freed f
                    WHERE f.ns = $1 AND f.kind = CASE WHEN e.kind = 0 THEN 'j' ELSE 'f' END AND f.what = e.target)

-- name: noted
SELECT DISTINCT what FROM packhorse.freed WHERE ns = $1 AND kind IN ('x', 's', 'l')

-- name: find_again
WITH e AS (
    UPDATE packhorse.edges SET state = 3 WHERE child = ANY ($1::bigint[]) AND state = 0 AND kind < 2
), w AS (
    UPDATE packhorse.waits SET look = true WHERE (seq = ANY ($1::bigint[]) OR seq = ANY ($2::bigint[])) AND NOT look RETURNING seq
)
SELECT j.id FROM packhorse.jobs j WHERE j.seq = ANY (ARRAY(SELECT seq FROM w)) ORDER BY j.seq
