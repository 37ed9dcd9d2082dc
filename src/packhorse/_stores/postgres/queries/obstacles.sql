-- name: states
SELECT v.id, j.state FROM unnest($2::text[]) AS v (id) LEFT JOIN packhorse.jobs j ON j.ns = $1 AND j.id = v.id

-- name: unended
SELECT count(*) FROM packhorse.members m JOIN packhorse.jobs j ON j.seq = m.seq
 WHERE m.ns = $1 AND m.flow = $2 AND NOT m.follows AND j.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED)

-- name: holders
SELECT h.mode, j.seq, j.id, CASE WHEN j.state = :RUNNING THEN j.started_at END
  FROM packhorse.held h JOIN packhorse.jobs j ON j.seq = h.seq WHERE h.ns = $1 AND h.name = $2 ORDER BY h.seq

-- name: oldest (holders, and how many there are)
SELECT j.id, count(*) OVER ()
  FROM packhorse.held h JOIN packhorse.jobs j ON j.seq = h.seq
 WHERE h.ns = $1 AND h.name = $2 AND h.mode = ANY ($3::text[]) ORDER BY h.seq LIMIT $4::bigint

-- name: holding
SELECT h.name, h.mode, count(*) FROM packhorse.held h WHERE h.ns = $1 AND h.name = ANY ($2::text[]) GROUP BY h.name, h.mode

-- name: standing
SELECT w.mode, w.place, j.id, q.name, j.after, j.after_flow
  FROM packhorse.wants w JOIN packhorse.jobs j ON j.seq = w.seq JOIN packhorse.lines q ON q.id = w.queue
 WHERE w.ns = $1 AND w.name = $2 AND w.place < $3::bigint ORDER BY w.place
