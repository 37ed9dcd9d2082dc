-- name: idle (whether there is anything to do)
SELECT n.closed, EXISTS (SELECT FROM packhorse.waits w WHERE w.ns = n.id), EXISTS (SELECT FROM packhorse.freed f WHERE f.ns = n.id)
  FROM packhorse.namespaces n WHERE n.id = $1

-- name: alone (one at a time admits in a namespace; to the end of the transaction)
SELECT pg_advisory_xact_lock(7225467, $1::bigint::int)

-- name: alone_now (the same, unless another one is at it)
SELECT pg_try_advisory_xact_lock(7225467, $1::bigint::int)

-- name: queues (those in which a job waits, and how they were found last)
SELECT l.id, l.name, l.paused_at IS NULL, g.open
  FROM packhorse.lines l LEFT JOIN packhorse.gates g ON g.queue = l.id
 WHERE l.ns = $1 AND l.side_of IS NULL AND EXISTS (SELECT FROM packhorse.waits w WHERE w.ns = $1 AND w.queue = l.id)

-- name: paused
SELECT name FROM packhorse.lines WHERE ns = $1 AND side_of IS NULL AND paused_at IS NOT NULL

-- name: served
SELECT DISTINCT queues FROM packhorse.workers WHERE ns = $1 AND state = 'live'

-- name: turn (note how queues were found, and look at their jobs again; those of closed ones leave their lines to others)
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($2::int[], $3::boolean[]) AS v (queue, open)
), g AS (
    INSERT INTO packhorse.gates AS g (ns, queue, open) SELECT $1, queue, open FROM v
    ON CONFLICT (queue) DO UPDATE SET open = excluded.open
), w AS (
    UPDATE packhorse.waits w SET look = true FROM v WHERE w.ns = $1 AND w.queue = v.queue AND v.open AND NOT w.look
)
SELECT DISTINCT w.mode, w.name FROM v
  JOIN packhorse.waits x ON x.ns = $1 AND x.queue = v.queue JOIN packhorse.wants w ON w.seq = x.seq WHERE NOT v.open

-- name: notes
DELETE FROM packhorse.freed
 WHERE ns = $1 AND n = ANY (ARRAY(SELECT n FROM packhorse.freed WHERE ns = $1 ORDER BY n LIMIT $2::bigint)) RETURNING kind, what

-- name: note
INSERT INTO packhorse.freed (ns, kind, what) SELECT $1::int, v.kind, v.what FROM unnest($2::text[], $3::text[]) AS v (kind, what)

-- name: parents_ended (edges to jobs that have ended, or run again, since they were last looked at)
WITH p AS MATERIALIZED (
    SELECT v.id, CASE WHEN j.state IS NULL OR j.state = :SUCCEEDED THEN 1 WHEN j.state IN (:FAILED, :CANCELLED) THEN 2 ELSE 0 END AS code
      FROM unnest($2::text[]) AS v (id)
      LEFT JOIN LATERAL (SELECT j.state FROM packhorse.jobs j WHERE j.ns = $1 AND j.id = v.id OFFSET 0) j ON true
), stale AS MATERIALIZED (
    SELECT e.row, e.child, p.code FROM p
     CROSS JOIN LATERAL (SELECT e.ctid AS row, e.child FROM packhorse.edges e
                          WHERE e.ns = $1 AND e.kind = 0 AND e.target = p.id AND e.state NOT IN (3, p.code) OFFSET 0) e
     LIMIT $3::bigint
), back AS (
    UPDATE packhorse.edges SET state = 0 WHERE ctid = ANY (ARRAY(SELECT row FROM stale WHERE code = 0))
), well AS (
    UPDATE packhorse.edges SET state = 1 WHERE ctid = ANY (ARRAY(SELECT row FROM stale WHERE code = 1))
), badly AS (
    UPDATE packhorse.edges SET state = 2 WHERE ctid = ANY (ARRAY(SELECT row FROM stale WHERE code = 2))
), w AS (
    UPDATE packhorse.waits w SET look = true WHERE w.seq = ANY (ARRAY(SELECT child FROM stale)) AND NOT w.look
)
SELECT count(*) FROM stale

-- name: unseen (edges of jobs to be looked at that nobody has looked at yet)
SELECT e.child, e.kind, e.target FROM packhorse.edges e WHERE e.child = ANY ($1::bigint[]) AND e.state = 3 LIMIT $2::bigint

-- name: hold (parents that have not ended, so that they end after this, and then see the edge; who is ending one just now
-- is not waited for)
SELECT j.id FROM unnest($2::text[]) AS v (id)
 CROSS JOIN LATERAL (SELECT j.id FROM packhorse.jobs j
                      WHERE j.ns = $1 AND j.id = v.id AND j.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED)
                        FOR SHARE SKIP LOCKED) j

-- name: judge
WITH p AS MATERIALIZED (
    SELECT v.id, CASE WHEN j.state IS NULL OR j.state = :SUCCEEDED THEN 1 WHEN j.state IN (:FAILED, :CANCELLED) THEN 2
                      WHEN v.id = ANY ($3::text[]) THEN 0 ELSE 3 END AS code
      FROM unnest($2::text[]) AS v (id)
      LEFT JOIN LATERAL (SELECT j.state FROM packhorse.jobs j WHERE j.ns = $1 AND j.id = v.id OFFSET 0) j ON true
)
UPDATE packhorse.edges e SET state = p.code FROM p
 WHERE e.ns = $1 AND e.kind = 0 AND e.target = p.id AND e.state = 3 AND p.code <> 3 AND e.child = ANY ($4::bigint[])

-- name: witness (the first member from a place on that has not ended)
SELECT m.seq FROM packhorse.members m
 CROSS JOIN LATERAL (SELECT FROM packhorse.jobs j
                      WHERE j.seq = m.seq AND j.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) OFFSET 0) j
 WHERE m.ns = $1 AND m.flow = $2 AND NOT m.follows
   AND m.seq >= CASE WHEN $3::boolean THEN 0 ELSE coalesce((SELECT witness FROM packhorse.flows WHERE ns = $1 AND id = $2), 0) END
 ORDER BY m.seq LIMIT 1

-- name: stand_by
UPDATE packhorse.flows SET witness = $3 WHERE ns = $1 AND id = $2 AND witness <> $3

-- name: hold_witness
SELECT seq FROM packhorse.jobs
 WHERE seq = $1 AND state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) FOR SHARE SKIP LOCKED

-- name: bad_member (the oldest)
SELECT m.seq FROM packhorse.members m
 CROSS JOIN LATERAL (SELECT FROM packhorse.jobs j WHERE j.seq = m.seq AND j.state IN (:FAILED, :CANCELLED) OFFSET 0) j
 WHERE m.ns = $1 AND m.flow = $2 AND NOT m.follows ORDER BY m.seq LIMIT 1

-- name: flow_judged ($4: also for those that nobody has looked at yet)
WITH e AS (
    UPDATE packhorse.edges e SET state = $3::smallint
     WHERE e.ns = $1 AND e.kind = 1 AND e.target = $2 AND e.state <> $3::smallint AND (e.state <> 3 OR $4::boolean) RETURNING child
)
UPDATE packhorse.waits w SET look = true WHERE w.seq = ANY (ARRAY(SELECT child FROM e)) AND NOT w.look

-- name: looked_at
SELECT seq FROM packhorse.waits WHERE ns = $1 AND look ORDER BY seq LIMIT $2::bigint

-- name: classify
SELECT w.seq, w.place, w.queue, w.done, coalesce(j.after_failed, false), j.holds,
       EXISTS (SELECT FROM packhorse.edges e WHERE e.child = w.seq AND e.state IN (0, 3)),
       EXISTS (SELECT FROM packhorse.edges e WHERE e.child = w.seq AND e.state = 3),
       EXISTS (SELECT FROM packhorse.edges e WHERE e.child = w.seq AND e.state = 2)
  FROM unnest($1::bigint[]) AS v (seq)
 CROSS JOIN LATERAL (SELECT * FROM packhorse.waits w WHERE w.seq = v.seq OFFSET 0) w
 CROSS JOIN LATERAL (SELECT j.after_failed, j.holds FROM packhorse.jobs j WHERE j.seq = v.seq OFFSET 0) j
 ORDER BY w.seq

-- name: free (those that still wait, and that nobody else changes just now)
SELECT j.seq FROM unnest($1::bigint[]) AS v (seq)
 CROSS JOIN LATERAL (SELECT j.seq FROM packhorse.jobs j WHERE j.seq = v.seq AND j.waiting FOR NO KEY UPDATE SKIP LOCKED) j

-- name: places
INSERT INTO packhorse.places AS p (ns, last) VALUES ($1, $2) ON CONFLICT (ns) DO UPDATE SET last = p.last + excluded.last RETURNING last

-- name: place (jobs get their places, and stand in their lines)
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS v (seq, place)
), j AS (
    UPDATE packhorse.jobs j SET place = v.place FROM v WHERE j.seq = v.seq AND j.seq = ANY ($2::bigint[]) RETURNING j.seq, j.holds
), w AS (
    UPDATE packhorse.waits w SET place = v.place FROM v WHERE w.seq = v.seq AND w.seq = ANY ($2::bigint[]) RETURNING w.seq, w.queue
)
INSERT INTO packhorse.wants (place, seq, ns, queue, done, mode, name)
SELECT v.place, v.seq, $1, w.queue, false, h.hold->>0, h.hold->>1
  FROM v JOIN w ON w.seq = v.seq JOIN j ON j.seq = v.seq CROSS JOIN LATERAL json_array_elements(j.holds::json) AS h (hold)

-- name: note_done (what was found of jobs: whether parents or flows are in the way, and whether to look at them again)
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::boolean[], $3::boolean[]) AS v (seq, done, look)
), s AS (
    UPDATE packhorse.wants w SET done = v.done FROM v WHERE w.seq = v.seq AND w.seq = ANY ($1::bigint[]) AND w.done <> v.done
)
UPDATE packhorse.waits w SET done = v.done, look = v.look FROM v
 WHERE w.seq = v.seq AND w.seq = ANY ($1::bigint[]) AND (w.done, w.look) <> (v.done, v.look)

-- name: line_up (those who may have a name that has become free: the first one, if it wants it for itself; those who share
-- it; those who take a place, as many as are free; each with whether it wants nothing else)
SELECT v.name, c.mode, c.place, c.seq,
       NOT EXISTS (SELECT FROM packhorse.wants o WHERE o.seq = c.seq AND (o.mode, o.name) <> (c.mode, v.name))
  FROM json_to_recordset($2::json) AS v (name text, sharing boolean, taking boolean, places bigint, behind bigint)
 CROSS JOIN LATERAL (
    SELECT (SELECT w.place FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'x' AND w.done AND w.queue = ANY ($3::int[])
             ORDER BY w.place LIMIT 1) AS x,
           (SELECT w.place FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 's' AND w.done AND w.queue = ANY ($3::int[])
             ORDER BY w.place LIMIT 1) AS s,
           (SELECT w.place FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'l' AND w.done AND w.queue = ANY ($3::int[])
             ORDER BY w.place LIMIT 1) AS l,
           EXISTS (SELECT FROM packhorse.held h WHERE h.ns = $1 AND h.name = v.name) AS held,
           EXISTS (SELECT FROM packhorse.held h WHERE h.ns = $1 AND h.name = v.name AND h.mode = 'x') AS reserved,
           CASE WHEN v.taking AND v.places IS NOT NULL THEN
            v.places - (SELECT count(*) FROM (SELECT FROM packhorse.held h WHERE h.ns = $1 AND h.name = v.name AND h.mode = 'l'
                                               LIMIT v.places) AS t) END AS room
 ) f
 CROSS JOIN LATERAL (
    (SELECT w.mode, w.place, w.seq FROM packhorse.wants w
      WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'x' AND w.place = f.x AND NOT f.held AND v.behind = 0
        AND f.x < coalesce(f.s, f.x + 1) AND f.x < coalesce(f.l, f.x + 1))
     UNION ALL
    (SELECT w.mode, w.place, w.seq FROM packhorse.wants w
      WHERE w.ns = $1 AND w.name = v.name AND w.mode = 's' AND v.sharing AND NOT f.reserved AND w.done AND w.queue = ANY ($3::int[])
        AND w.place > v.behind AND w.place < coalesce(f.x, 9223372036854775807) ORDER BY w.place LIMIT $4::bigint)
     UNION ALL
    (SELECT w.mode, w.place, w.seq FROM packhorse.wants w
      WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'l' AND v.taking AND NOT f.reserved AND w.done AND w.queue = ANY ($3::int[])
        AND w.place > v.behind AND w.place < coalesce(f.x, 9223372036854775807) ORDER BY w.place
      LIMIT greatest(0, CASE WHEN f.room IS NULL THEN $4::bigint ELSE least(f.room, 100000) END))
 ) c

-- name: wanted
SELECT w.seq, w.place, w.mode, w.name FROM packhorse.wants w
 WHERE w.seq = ANY ($1::bigint[]) AND w.done AND w.queue = ANY ($2::int[]) ORDER BY w.place

-- name: kept_out (of those who want names, those who cannot have one of them)
SELECT DISTINCT v.seq FROM json_to_recordset($2::json) AS v (seq bigint, place bigint, mode text, name text, places bigint)
 WHERE CASE v.mode WHEN 'x' THEN
        EXISTS (SELECT FROM packhorse.held h WHERE h.ns = $1 AND h.name = v.name)
        OR EXISTS (SELECT FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'x' AND w.place < v.place
                      AND w.done AND w.queue = ANY ($3::int[]))
        OR EXISTS (SELECT FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 's' AND w.place < v.place
                      AND w.done AND w.queue = ANY ($3::int[]))
        OR EXISTS (SELECT FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'l' AND w.place < v.place
                      AND w.done AND w.queue = ANY ($3::int[]))
       ELSE
        EXISTS (SELECT FROM packhorse.held h WHERE h.ns = $1 AND h.name = v.name AND h.mode = 'x')
        OR EXISTS (SELECT FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'x' AND w.place < v.place
                      AND w.done AND w.queue = ANY ($3::int[]))
        OR (v.mode = 'l' AND v.places IS NOT NULL AND v.places <=
            (SELECT count(*) FROM (SELECT FROM packhorse.held h WHERE h.ns = $1 AND h.name = v.name AND h.mode = 'l' LIMIT v.places) AS t)
            + (SELECT count(*) FROM (SELECT FROM packhorse.wants w WHERE w.ns = $1 AND w.name = v.name AND w.mode = 'l'
                  AND w.place < v.place AND w.done AND w.queue = ANY ($3::int[]) LIMIT v.places) AS t))
       END

-- name: let_go (those that still wait and that nobody else changes just now; the others are looked at again)
WITH free AS MATERIALIZED (
    SELECT j.seq FROM unnest($2::bigint[]) AS v (seq)
     CROSS JOIN LATERAL (SELECT j.seq FROM packhorse.jobs j WHERE j.seq = v.seq AND j.waiting FOR NO KEY UPDATE SKIP LOCKED) j
), job AS (
    UPDATE packhorse.jobs SET state = :QUEUED, shelf = NULL, waiting = NULL
     WHERE seq = ANY (ARRAY(SELECT seq FROM free)) AND waiting
    RETURNING seq, rank, expires_at, line, priority, kind, crash_fails OR suspect OR holds IS NOT NULL AS solo
), r AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo) SELECT rank, seq, expires_at, line, priority, solo FROM job
), w AS (
    DELETE FROM packhorse.waits WHERE seq = ANY (ARRAY(SELECT seq FROM job))
), l AS (
    UPDATE packhorse.waits SET look = true WHERE seq = ANY ($2::bigint[]) AND seq <> ALL (ARRAY(SELECT seq FROM job)) AND NOT look
), s AS (
    DELETE FROM packhorse.wants WHERE seq = ANY (ARRAY(SELECT seq FROM job)) RETURNING seq, mode, name
), h AS (
    INSERT INTO packhorse.held (seq, ns, mode, name) SELECT seq, $1, mode, name FROM s
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs)
    SELECT k.queue, m.state, m.sign * count(*)
      FROM job JOIN packhorse.kinds k ON k.id = job.kind CROSS JOIN (VALUES (:BLOCKED, -1), (:QUEUED, 1)) AS m (state, sign)
     GROUP BY k.queue, m.state, m.sign
)
SELECT count(*) FROM job

-- name: look_again
UPDATE packhorse.waits SET look = true WHERE seq = ANY ($1::bigint[]) AND NOT look

-- name: left
SELECT EXISTS (SELECT FROM packhorse.waits WHERE ns = $1), EXISTS (SELECT FROM packhorse.waits WHERE ns = $1 AND look),
       EXISTS (SELECT FROM packhorse.freed WHERE ns = $1)
