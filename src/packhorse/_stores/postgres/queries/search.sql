-- name: kinds
SELECT k.id FROM packhorse.kinds k JOIN packhorse.lines q ON q.id = k.queue
 WHERE k.ns = $1 AND ($2::text IS NULL OR k.task = $2) AND ($3::text IS NULL OR q.name = $3)

-- name: by_id
SELECT seq FROM packhorse.jobs WHERE ns = $1 AND id = ANY ($2::text[])

-- name: walk_down (all jobs of some kinds, in whatever state)
SELECT j.seq, j.state FROM unnest($1::int[]) AS k (id)
 CROSS JOIN LATERAL (SELECT j.seq, j.state FROM packhorse.jobs j WHERE j.kind = k.id AND j.seq < $2::bigint
                      ORDER BY j.seq DESC LIMIT $3::bigint) j
 ORDER BY j.seq DESC LIMIT $3::bigint

-- name: walk_up
SELECT j.seq, j.state FROM unnest($1::int[]) AS k (id)
 CROSS JOIN LATERAL (SELECT j.seq, j.state FROM packhorse.jobs j WHERE j.kind = k.id AND j.seq > $2::bigint
                      ORDER BY j.seq LIMIT $3::bigint) j
 ORDER BY j.seq LIMIT $3::bigint

-- name: shelf_down (jobs of some kinds in states that are on the shelf)
SELECT j.seq, j.shelf FROM unnest($1::int[]) AS k (id) CROSS JOIN unnest($4::smallint[]) AS s (state)
 CROSS JOIN LATERAL (SELECT j.seq, j.shelf FROM packhorse.jobs j WHERE j.kind = k.id AND j.shelf = s.state AND j.seq < $2::bigint
                      ORDER BY j.seq DESC LIMIT $3::bigint) j
 ORDER BY j.seq DESC LIMIT $3::bigint

-- name: shelf_up
SELECT j.seq, j.shelf FROM unnest($1::int[]) AS k (id) CROSS JOIN unnest($4::smallint[]) AS s (state)
 CROSS JOIN LATERAL (SELECT j.seq, j.shelf FROM packhorse.jobs j WHERE j.kind = k.id AND j.shelf = s.state AND j.seq > $2::bigint
                      ORDER BY j.seq LIMIT $3::bigint) j
 ORDER BY j.seq LIMIT $3::bigint

-- name: running
SELECT j.seq FROM packhorse.claims c
 CROSS JOIN LATERAL unnest(c.seqs) AS s (seq)
 CROSS JOIN LATERAL (SELECT * FROM packhorse.jobs j WHERE j.seq = s.seq AND j.state = :RUNNING AND j.token = c.token OFFSET 0) j
 WHERE c.ns = $1 AND j.kind = ANY ($2::int[])

-- name: queued
SELECT r.seq FROM packhorse.ready r JOIN packhorse.jobs j ON j.seq = r.seq
 WHERE r.line = ANY (ARRAY(SELECT DISTINCT x.id FROM packhorse.kinds k
                             JOIN packhorse.lines x ON x.id = k.queue OR x.side_of = k.queue WHERE k.id = ANY ($1::int[])))
   AND j.kind = ANY ($1::int[])
 LIMIT $2::bigint

-- name: total
SELECT coalesce(sum(c.jobs), 0)::bigint
  FROM (SELECT queue, jobs FROM packhorse.totals UNION ALL SELECT queue, jobs FROM packhorse.changes) AS c
  JOIN packhorse.lines l ON l.id = c.queue WHERE l.ns = $1

-- name: members
SELECT seq FROM packhorse.members WHERE ns = $1 AND flow = $2 ORDER BY seq
