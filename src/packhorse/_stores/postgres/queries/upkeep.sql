-- name: due
SELECT j.seq FROM packhorse.jobs j
 WHERE j.ns = $1 AND j.due_at <= $2::bigint AND (SELECT closed FROM packhorse.namespaces WHERE id = $1) IS NULL
 ORDER BY j.due_at, j.seq LIMIT $3::bigint FOR NO KEY UPDATE SKIP LOCKED

-- name: next_due (of the jobs, and of the ends of pauses)
SELECT (SELECT j.due_at FROM packhorse.jobs j WHERE j.ns = $1 AND j.due_at IS NOT NULL ORDER BY j.due_at, j.seq LIMIT 1),
       (SELECT l.paused_until FROM packhorse.lines l WHERE l.ns = $1 AND l.paused_until IS NOT NULL ORDER BY l.paused_until LIMIT 1),
       coalesce($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
  FROM packhorse.namespaces n WHERE n.id = $1 AND n.closed IS NULL

-- name: end_pauses
UPDATE packhorse.lines SET paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_until = NULL
 WHERE ns = $1 AND paused_until <= $2::bigint AND (SELECT closed FROM packhorse.namespaces WHERE id = $1) IS NULL
RETURNING id

-- name: expired
SELECT j.seq FROM packhorse.jobs j
 WHERE j.ns = $1 AND j.waits_until <= coalesce($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
   AND j.state <> :RUNNING AND (SELECT closed FROM packhorse.namespaces WHERE id = $1) IS NULL
 ORDER BY j.waits_until LIMIT $3::bigint

-- name: blocked
SELECT j.seq FROM packhorse.kinds k
 CROSS JOIN LATERAL (SELECT j.seq FROM packhorse.jobs j WHERE j.kind = k.id AND j.shelf = :BLOCKED AND j.line = ANY ($2::int[]) AND j.waiting IS NULL) j
 WHERE k.ns = $1 LIMIT 10000

-- name: shelved_old (of one namespace and one state that is on the shelf; oldest number first)
SELECT j.seq FROM packhorse.kinds k
 CROSS JOIN LATERAL (
    SELECT j.seq FROM packhorse.jobs j
     WHERE j.kind = k.id AND j.shelf = $2::smallint AND j.finished_at < $3::bigint
       AND (j.options IS NULL OR j.finished_at < $5::bigint - 1000000 * coalesce(substring(j.options FROM '"kept_for":([0-9]+)')::bigint, 0))
       AND (j.held_key IS NULL OR j.unique_end <= $5::bigint OR (j.unique_until = 'flow' AND NOT EXISTS (
            SELECT FROM packhorse.members m
             CROSS JOIN LATERAL (SELECT FROM packhorse.jobs k
                                  WHERE k.seq = m.seq AND k.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) OFFSET 0) k
             WHERE m.ns = $1 AND m.flow = j.flow)))
       AND NOT EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 0 AND e.target = j.id)
       AND (j.flow IS NULL OR NOT EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 1 AND e.target = j.flow))
     ORDER BY j.seq LIMIT $4::bigint) j
 WHERE k.ns = $1 ORDER BY j.seq LIMIT $4::bigint

-- name: window (a stretch of all jobs by number, so that no single statement takes long)
SELECT j.seq, j.ns, j.state,
       CASE WHEN (j.options IS NULL OR j.finished_at < $3::bigint - 1000000 * coalesce(substring(j.options FROM '"kept_for":([0-9]+)')::bigint, 0))
            THEN j.finished_at END, j.created_at
  FROM packhorse.jobs j WHERE j.seq > $1::bigint ORDER BY j.seq LIMIT $2::bigint

-- name: logged (a stretch of the jobs that have logs, those of other namespaces among them)
SELECT j.seq, coalesce(j.ns = $3 AND j.finished_at < $4::bigint, false), j.created_at
  FROM (SELECT DISTINCT job FROM packhorse.logs WHERE job > $1::bigint ORDER BY job LIMIT $2::bigint) AS l
  JOIN packhorse.jobs j ON j.seq = l.job ORDER BY j.seq

-- name: drop_logs
DELETE FROM packhorse.logs WHERE job = ANY ($1::bigint[])

-- name: over
SELECT j.seq FROM packhorse.jobs j WHERE j.ns = $1 AND j.drop_at <= $2::bigint
   AND NOT EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 0 AND e.target = j.id)
       AND (j.flow IS NULL OR NOT EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 1 AND e.target = j.flow))
 ORDER BY j.drop_at LIMIT $3::bigint

-- name: drop_results
UPDATE packhorse.jobs SET result = NULL, drop_at = NULL WHERE seq = ANY ($1::bigint[])

-- name: fold (the changes of the counts into the sums; one at a time, nobody waits)
WITH mine AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(7225467114313) AS alone
), taken AS (
    DELETE FROM packhorse.changes WHERE (SELECT alone FROM mine) RETURNING queue, state, jobs
)
INSERT INTO packhorse.totals AS t (queue, state, jobs)
SELECT queue, state, sum(jobs) FROM taken GROUP BY queue, state
ON CONFLICT (queue, state) DO UPDATE SET jobs = t.jobs + excluded.jobs

-- name: sweep (rows of claims without a running job; a fresh one may belong to a claim under way, so only those of a worker)
DELETE FROM packhorse.claims c
 WHERE c.ns = $1 AND c.worker = ANY ($2::text[])
   AND NOT EXISTS (SELECT FROM unnest(c.seqs) AS s (seq) JOIN packhorse.jobs j ON j.seq = s.seq
                    WHERE j.state = :RUNNING AND j.token = c.token)

-- name: orphans
SELECT j.id, j.token, k.task, j.worker, w.host, j.started_at IS NOT NULL, j.crash_fails, j.failures, j.crashes, j.losses,
       j.generation, j.snoozes, coalesce(j.holds LIKE '%["x",%' OR j.holds LIKE '%["s",%', false), coalesce(w.proved, false)
  FROM packhorse.claims c
  LEFT JOIN packhorse.workers w ON w.id = c.worker AND w.ns = c.ns
 CROSS JOIN LATERAL unnest(c.seqs) AS s (seq)
 CROSS JOIN LATERAL (SELECT * FROM packhorse.jobs j WHERE j.seq = s.seq AND j.state = :RUNNING AND j.token = c.token OFFSET 0) j
  JOIN packhorse.kinds k ON k.id = j.kind
 WHERE c.ns = $1 AND (w.id IS NULL OR w.state = 'dead')
 LIMIT $2::bigint

-- name: gone_workers
SELECT DISTINCT c.worker FROM packhorse.claims c LEFT JOIN packhorse.workers w ON w.id = c.worker AND w.ns = c.ns
 WHERE c.ns = $1 AND (w.id IS NULL OR w.state = 'dead')

-- name: report
SELECT j.seq, j.id, j.meta, j.token FROM packhorse.jobs j
 WHERE j.ns = $1 AND j.id = ANY ($2::text[]) AND j.state = :RUNNING ORDER BY j.id FOR NO KEY UPDATE SKIP LOCKED

-- name: news
UPDATE packhorse.jobs j
   SET started_at = coalesce(v.started_at, j.started_at), progress = coalesce(v.progress, j.progress), meta = coalesce(v.meta, j.meta)
  FROM json_to_recordset($1::json) AS v (seq bigint, started_at bigint, progress text, meta text)
 WHERE j.seq = v.seq
