-- name: by_id
SELECT r.id, r.seq, task, queue, state, payload, priority, rank, created_at, scheduled_at, due_at, started_at, finished_at,
       expires_at, options, crash_fails, suspect, failures, crashes, losses, snoozes, generation, fence, token, worker,
       line, tags, meta, made_by, r.parent, result, result_until, error, reason, progress, cancel_at, cancel_by,
       holds, after, after_flow, after_failed, flow, unique_key, unique_until,
       unique_held, unique_end, r.place, parked, given_up
  FROM unnest($2::text[]) WITH ORDINALITY AS e (id, place) JOIN packhorse.records r ON r.ns = $1 AND r.id = e.id
 ORDER BY e.place

-- name: ending (in one stretch of the ids, newest first)
SELECT max(s.id), min(s.id), count(*), array_agg(s.id) FILTER (WHERE right(s.id, 8) = $2)
  FROM (SELECT j.id FROM packhorse.jobs j WHERE j.ns = $1 AND ($3::text IS NULL OR j.id < $3) ORDER BY j.id DESC LIMIT $4::bigint) AS s

-- name: attempts
SELECT $2::text, a.token, a.generation, a.number, a.worker, a.host, a.started_at, a.ended_at, a.outcome, a.error, a.reason, a.usage,
       a.late
  FROM packhorse.attempts a WHERE a.job = (SELECT seq FROM packhorse.jobs WHERE ns = $1 AND id = $2) ORDER BY a.n

-- name: last_attempts (of many jobs; n + 0, or the planner may walk along the numbers of all attempts for each of them)
SELECT e.id, a.token, a.generation, a.number, a.worker, a.host, a.started_at, a.ended_at, a.outcome, a.error, a.reason, a.usage,
       a.late
  FROM unnest($2::text[]) WITH ORDINALITY AS e (id, place) JOIN packhorse.jobs j ON j.ns = $1 AND j.id = e.id
 CROSS JOIN LATERAL (SELECT * FROM packhorse.attempts WHERE job = j.seq ORDER BY n + 0 DESC LIMIT 1) AS a
 ORDER BY e.place

-- name: host
SELECT host FROM packhorse.workers WHERE id = $1 AND ns = $2

-- name: log
SELECT token, text, dropped FROM packhorse.logs
 WHERE job = (SELECT seq FROM packhorse.jobs WHERE ns = $1 AND id = $2) AND ($3::text IS NULL OR token = $3) ORDER BY n

-- name: queues
SELECT l.id, l.name, l.paused_at, l.paused_by, l.paused_reason, l.paused_until, l.step, c.state, c.jobs
  FROM packhorse.lines l
  JOIN (SELECT queue, state, sum(jobs)::bigint AS jobs
          FROM (SELECT queue, state, jobs FROM packhorse.totals UNION ALL SELECT queue, state, jobs FROM packhorse.changes) AS x
         GROUP BY queue, state) AS c ON c.queue = l.id
 WHERE l.ns = $1 AND l.side_of IS NULL AND ($2::text[] IS NULL OR l.name = ANY ($2::text[]))
 ORDER BY l.name

-- name: first_ready (the one that is ready for longest, of the first so many of a queue and of each of its side lines)
SELECT r.rank + r.priority * $3::bigint, r.seq, count(*) OVER () FROM packhorse.lines l
 CROSS JOIN LATERAL (SELECT r.rank, r.priority, r.seq FROM packhorse.ready r WHERE r.line = l.id
                      ORDER BY r.rank, r.seq LIMIT $2::bigint) r
 WHERE l.id = $1 OR l.side_of = $1 ORDER BY 1, 2 LIMIT 1

-- name: head (the first job of a line from a rank on)
SELECT r.rank, r.priority, r.seq FROM packhorse.lines l
 CROSS JOIN LATERAL (SELECT r.rank, r.priority, r.seq FROM packhorse.ready r WHERE r.line = l.id AND r.rank >= $2::bigint
                      ORDER BY r.rank, r.seq LIMIT 1) r
 WHERE l.id = $1 OR l.side_of = $1 ORDER BY r.rank, r.seq LIMIT 1

-- name: created
SELECT created_at FROM packhorse.jobs WHERE seq = $1

-- name: ahead
SELECT count(*) FROM (
    SELECT 1 FROM packhorse.jobs j
     CROSS JOIN LATERAL (SELECT 1 FROM packhorse.ready r
                          WHERE r.line = j.line AND (r.rank, r.seq) < (j.rank, j.seq)
                            AND (r.expires_at IS NULL
                                 OR r.expires_at > coalesce($3::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint))
                          LIMIT $4::bigint) r
     WHERE j.ns = $1 AND j.id = $2 AND j.state = :QUEUED) AS s
