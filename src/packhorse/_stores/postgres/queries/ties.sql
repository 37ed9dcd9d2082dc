-- name: owners (of keys, each with the time until which it holds its own: none, it has not ended; 0, its flow is over. Of a large
-- flow the newest members are those that have not ended)
SELECT j.held_key, j.id, j.state,
       CASE WHEN j.unique_until = 'flow' AND j.state IN (:SUCCEEDED, :FAILED, :CANCELLED) AND NOT EXISTS (
                SELECT FROM (SELECT FROM packhorse.members m
                 CROSS JOIN LATERAL (SELECT FROM packhorse.jobs k
                                      WHERE k.seq = m.seq AND k.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) OFFSET 0) k
                 WHERE m.ns = $1 AND m.flow = j.flow ORDER BY m.seq DESC LIMIT 1) AS open) THEN 0 ELSE j.unique_end END,
       j.seq
  FROM unnest($2::text[]) AS v (key)
 CROSS JOIN LATERAL (SELECT * FROM packhorse.jobs j WHERE j.ns = $1 AND j.held_key = v.key OFFSET 0) j

-- name: parents (held so that they are not deleted before this commits; neither a claim nor a settle is in the way)
SELECT j.id FROM unnest($2::text[]) AS v (id)
 CROSS JOIN LATERAL (SELECT j.id FROM packhorse.jobs j WHERE j.ns = $1 AND j.id = v.id FOR KEY SHARE) j

-- name: seen_parents (in a transaction that sees an old state of the database)
SELECT j.id FROM unnest($2::text[]) AS v (id)
 CROSS JOIN LATERAL (SELECT j.id FROM packhorse.jobs j WHERE j.ns = $1 AND j.id = v.id OFFSET 0) j

-- name: let_go (keys of jobs whose time or flow is over; one that runs again meanwhile keeps it)
UPDATE packhorse.jobs SET held_key = NULL
 WHERE ns = $1 AND seq = ANY ($2::bigint[]) AND held_key IS NOT NULL
   AND (unique_until <> 'flow' OR state IN (:SUCCEEDED, :FAILED, :CANCELLED))

-- name: begin_flows
INSERT INTO packhorse.flows (ns, id, created_at)
SELECT $1, v.id, $3::bigint FROM unnest($2::text[]) AS v (id)
 WHERE NOT EXISTS (SELECT FROM packhorse.flows f WHERE f.ns = $1 AND f.id = v.id)
 ORDER BY v.id ON CONFLICT (ns, id) DO NOTHING

-- name: join_flows (so that none is forgotten before this commits)
SELECT id FROM packhorse.flows WHERE ns = $1 AND id = ANY ($2::text[]) ORDER BY id FOR KEY SHARE

-- name: insert (jobs of which any may have rules, a flow or a key; what is known already is passed over)
WITH timed AS MATERIALIZED (
    SELECT v.*, CASE WHEN coalesce(at, $3::bigint + delay) > $3::bigint THEN coalesce(at, $3::bigint + delay) END AS later,
           coalesce(v.expires_at, $3::bigint + v.expires) AS over,
           holds IS NOT NULL OR after IS NOT NULL OR after_flow IS NOT NULL AS ruled
      FROM json_to_recordset($1::json) AS v (
            spot int, id text, kind int, line int, priority smallint, at bigint, delay bigint, expires_at bigint, expires bigint,
            crash_fails boolean, parent text, made_by text, options text, tags text, meta text, payload text, holds text, after text,
            after_flow text, after_failed boolean, flow text, unique_key text, unique_until text, unique_for bigint)
), job AS (
    INSERT INTO packhorse.jobs (created_at, rank, due_at, scheduled_at, waits_until, expires_at, ns, kind, line, state, shelf,
                                priority, crash_fails, id, parent, made_by, options, tags, meta, payload, holds, after, after_flow,
                                after_failed, flow, unique_key, unique_until, unique_end, held_key, waiting)
    SELECT $3::bigint, coalesce(later, $3::bigint) /*ranked - priority * (SELECT l.step FROM packhorse.lines l WHERE l.id = timed.line) */,
           later, later, over, over, $2, kind, line,
           CASE WHEN later IS NOT NULL THEN :SCHEDULED WHEN ruled THEN :BLOCKED ELSE :QUEUED END,
           CASE WHEN later IS NOT NULL THEN :SCHEDULED WHEN ruled THEN :BLOCKED END,
           priority, crash_fails, id, parent, made_by, options, tags, meta, payload, holds, after, after_flow,
           nullif(after_failed, false), flow, unique_key, unique_until, $3::bigint + unique_for, unique_key,
           CASE WHEN later IS NULL AND ruled THEN true END
      FROM timed ORDER BY spot
    ON CONFLICT DO NOTHING
    RETURNING id, line, priority, seq, rank, state, created_at, scheduled_at, expires_at, crash_fails, waiting, after, after_flow, flow
), r AS (
    INSERT INTO packhorse.ready (rank, seq, expires_at, line, priority, solo)
    SELECT rank, seq, expires_at, line, priority, crash_fails FROM job WHERE state = :QUEUED
), w AS (
    INSERT INTO packhorse.waits (seq, ns, queue, look, done) SELECT seq, $2, line, true, false FROM job WHERE waiting
), e AS (
    INSERT INTO packhorse.edges (ns, kind, target, child, state)
    SELECT DISTINCT $2::int, 0, p.id, seq, 3 FROM job CROSS JOIN LATERAL json_array_elements_text(after::json) AS p (id)
     UNION ALL
    SELECT $2::int, 1, after_flow, seq, 3 FROM job WHERE after_flow IS NOT NULL
), m AS (
    INSERT INTO packhorse.members (ns, flow, seq, follows)
    SELECT $2, flow, seq, coalesce(after_flow = flow, false) FROM job WHERE flow IS NOT NULL
), f AS (
    INSERT INTO packhorse.freed (ns, kind, what)
    SELECT DISTINCT $2::int, 'f', flow FROM job
     WHERE flow IS NOT NULL AND EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $2 AND e.kind = 1 AND e.target = job.flow)
), n AS (
    INSERT INTO packhorse.changes (queue, state, jobs) SELECT line, state, count(*) FROM job GROUP BY line, state
)
SELECT id, state, created_at, scheduled_at, pg_current_xact_id()::text FROM job

-- name: relink (what of the lines, holders and edges changes with some jobs)
WITH v AS MATERIALIZED (
    SELECT $1::json AS v
), waits_out AS (
    DELETE FROM packhorse.waits WHERE seq = ANY (ARRAY(SELECT x::bigint FROM v, json_array_elements_text(v->'waits_out') AS x))
), wants_out AS (
    DELETE FROM packhorse.wants WHERE seq = ANY (ARRAY(SELECT x::bigint FROM v, json_array_elements_text(v->'wants_out') AS x))
    RETURNING mode, name
), held_out AS (
    DELETE FROM packhorse.held WHERE seq = ANY (ARRAY(SELECT x::bigint FROM v, json_array_elements_text(v->'held_out') AS x))
    RETURNING mode, name
), edges_out AS (
    DELETE FROM packhorse.edges WHERE child = ANY (ARRAY(SELECT x::bigint FROM v, json_array_elements_text(v->'edges_out') AS x))
), ended AS (
    UPDATE packhorse.flows f SET ended_at = greatest(f.ended_at, x.at)
      FROM (SELECT x.flow, max(x.at) AS at FROM v, json_to_recordset(v->'ended') AS x (flow text, at bigint) GROUP BY x.flow) AS x
     WHERE f.ns = $2 AND f.id = x.flow
), waits_in AS (
    INSERT INTO packhorse.waits (seq, place, ns, queue, look, done)
    SELECT x.seq, x.place, $2, x.queue, true, false
      FROM v, json_to_recordset(v->'waits_in') AS x (seq bigint, place bigint, queue int)
), wants_in AS (
    INSERT INTO packhorse.wants (place, seq, ns, queue, done, mode, name)
    SELECT x.place, x.seq, $2, x.queue, false, x.mode, x.name
      FROM v, json_to_recordset(v->'wants_in') AS x (seq bigint, place bigint, queue int, mode text, name text)
), held_in AS (
    INSERT INTO packhorse.held (seq, ns, mode, name)
    SELECT x.seq, $2, x.mode, x.name FROM v, json_to_recordset(v->'held_in') AS x (seq bigint, mode text, name text)
), edges_in AS (
    INSERT INTO packhorse.edges (child, ns, kind, state, target)
    SELECT x.child, $2, x.kind, CASE WHEN x.kind = 2 THEN 1 ELSE 3 END, x.target
      FROM v, json_to_recordset(v->'edges_in') AS x (child bigint, kind smallint, target text)
    ON CONFLICT DO NOTHING
)
INSERT INTO packhorse.freed (ns, kind, what)
SELECT $2::int, mode, name FROM wants_out UNION SELECT $2::int, mode, name FROM held_out

-- name: shift (jobs that wait in another queue from now on: whether they may go is looked at anew, and who stood behind may, too)
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset($2::json) AS v (seq bigint, queue int)
), w AS (
    UPDATE packhorse.waits w SET queue = v.queue, look = true FROM v WHERE w.seq = v.seq AND w.seq = ANY (ARRAY(SELECT seq FROM v))
), s AS (
    UPDATE packhorse.wants w SET queue = v.queue FROM v WHERE w.seq = v.seq AND w.seq = ANY (ARRAY(SELECT seq FROM v))
    RETURNING mode, name
)
INSERT INTO packhorse.freed (ns, kind, what) SELECT DISTINCT $1::int, mode, name FROM s

-- name: note (that jobs have ended, or run again, if anybody waits for them or their flow. Always a statement of its own, after
-- that which changed the jobs: an edge that was committed in between is seen here, or its child waits for this transaction)
INSERT INTO packhorse.freed (ns, kind, what)
SELECT $1::int, 'j', v.id FROM unnest($2::text[]) AS v (id)
 WHERE EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 0)
   AND EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 0 AND e.target = v.id)
 UNION ALL
SELECT $1::int, 'f', v.id FROM unnest($3::text[]) AS v (id)
 WHERE EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 1 AND e.target = v.id)
RETURNING n

-- name: aftermath (of a batch of successes: what they held, whose parents they were, and whom they followed)
WITH gate AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM packhorse.edges WHERE ns = $1) AS edges, EXISTS (SELECT FROM packhorse.held WHERE ns = $1) AS held
), mine AS MATERIALIZED (
    SELECT j.* FROM string_to_table($2, E'\x1e') AS v (id)
     CROSS JOIN LATERAL (
        SELECT j.seq, j.id, j.flow, j.holds, j.after, j.after_flow FROM packhorse.jobs j
         WHERE j.ns = $1 AND j.id = v.id AND j.state IN (:SUCCEEDED, :FAILED, :CANCELLED) OFFSET 0) j
     WHERE (SELECT edges OR held FROM gate)
), gone AS (
    DELETE FROM packhorse.held WHERE seq = ANY (ARRAY(SELECT seq FROM mine WHERE holds IS NOT NULL)) RETURNING mode, name
), cut AS (
    DELETE FROM packhorse.edges WHERE child = ANY (ARRAY(SELECT seq FROM mine WHERE after IS NOT NULL OR after_flow IS NOT NULL))
)
INSERT INTO packhorse.freed (ns, kind, what)
SELECT $1::int, mode, name FROM gone
 UNION
SELECT $1::int, 'j', id FROM mine WHERE EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 0 AND e.target = mine.id)
 UNION
SELECT $1::int, 'f', flow FROM mine
 WHERE flow IS NOT NULL AND EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 1 AND e.target = mine.flow)
RETURNING n

-- name: forget (deleted jobs; given with what they had to do with others)
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS v (seq bigint, id text, flow text, at bigint)
), waits AS (
    DELETE FROM packhorse.waits WHERE seq = ANY (ARRAY(SELECT seq FROM v))
), wants AS (
    DELETE FROM packhorse.wants WHERE seq = ANY (ARRAY(SELECT seq FROM v)) RETURNING mode, name
), held AS (
    DELETE FROM packhorse.held WHERE seq = ANY (ARRAY(SELECT seq FROM v)) RETURNING mode, name
), edges AS (
    DELETE FROM packhorse.edges WHERE child = ANY (ARRAY(SELECT seq FROM v))
), members AS (
    DELETE FROM packhorse.members m USING v WHERE m.ns = $2 AND m.flow = v.flow AND m.seq = v.seq
), ended AS (
    UPDATE packhorse.flows f SET ended_at = greatest(f.ended_at, x.at)
      FROM (SELECT flow, max(at) AS at FROM v WHERE flow IS NOT NULL AND at IS NOT NULL GROUP BY flow) AS x
     WHERE f.ns = $2 AND f.id = x.flow
)
INSERT INTO packhorse.freed (ns, kind, what)
SELECT $2::int, mode, name FROM wants UNION SELECT $2::int, mode, name FROM held
RETURNING n

-- name: end_flows (those without members; who joins one holds its row)
DELETE FROM packhorse.flows f
 WHERE f.ns = $1
   AND f.id = ANY (ARRAY(SELECT g.id FROM packhorse.flows g WHERE g.ns = $1 AND g.id = ANY ($2::text[]) FOR UPDATE SKIP LOCKED))
   AND NOT EXISTS (SELECT FROM packhorse.members m WHERE m.ns = $1 AND m.flow = f.id)

-- name: named (which of these ids does a job name as its parent that has not ended)
SELECT v.id FROM unnest($2::text[]) AS v (id)
 WHERE EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 0 AND e.target = v.id)

-- name: needed (which of these jobs does another one wait for, directly or for its flow, or hold a key for a time)
SELECT j.seq FROM packhorse.jobs j
 WHERE j.seq = ANY ($2::bigint[])
   AND (EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 0 AND e.target = j.id)
        OR (j.flow IS NOT NULL AND EXISTS (SELECT FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 1 AND e.target = j.flow))
        OR ($4::boolean AND j.held_key IS NOT NULL AND j.unique_end > $3::bigint)
        OR ($4::boolean AND j.held_key IS NOT NULL AND j.unique_until = 'flow' AND EXISTS (
                SELECT FROM packhorse.members m
                 CROSS JOIN LATERAL (SELECT FROM packhorse.jobs k
                                      WHERE k.seq = m.seq AND k.state NOT IN (:SUCCEEDED, :FAILED, :CANCELLED) OFFSET 0) k
                 WHERE m.ns = $1 AND m.flow = j.flow)))

-- name: gave_up
SELECT e.child FROM packhorse.edges e WHERE e.ns = $1 AND e.kind = 2 AND e.target = ANY ($2::text[])

-- name: place (the links of jobs that have come from another store)
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS v (seq bigint, flow text, follows boolean, created_at bigint)
), m AS (
    INSERT INTO packhorse.members (ns, flow, seq, follows) SELECT $2, flow, seq, follows FROM v
)
INSERT INTO packhorse.flows AS f (ns, id, created_at) SELECT $2, flow, min(created_at) FROM v GROUP BY flow ORDER BY flow
ON CONFLICT (ns, id) DO UPDATE SET created_at = least(f.created_at, excluded.created_at)

-- name: reach (the place that is at least given)
INSERT INTO packhorse.places AS p (ns, last) VALUES ($1, $2) ON CONFLICT (ns) DO UPDATE SET last = greatest(p.last, excluded.last)

-- name: patience (for how long a lock is waited for, to the end of the transaction; brings what it was before)
SELECT before.value FROM (SELECT current_setting('lock_timeout') AS value OFFSET 0) AS before
 CROSS JOIN LATERAL (SELECT set_config('lock_timeout', $1, true) AS after WHERE before.value IS NOT NULL OFFSET 0) AS new
