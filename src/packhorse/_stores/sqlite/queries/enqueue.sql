-- name: job (one: the plain statement is half as long as that for many)
INSERT INTO packhorse_jobs (ns, created_at, id, kind, line, state, odd, priority, rank, made_by, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: alone (the same as a whole transaction: into an open namespace, see moving.closed)
INSERT INTO packhorse_jobs (ns, created_at, id, kind, line, state, odd, priority, rank, made_by, payload)
SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM packhorse_meta WHERE key = ?)

-- name: alone_ranked (the same of a priority that is not 0, with the ready time where the rank belongs)
INSERT INTO packhorse_jobs (ns, created_at, id, kind, line, state, odd, priority, rank, made_by, payload)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 - ?8 * (SELECT step FROM packhorse_lines WHERE id = ?5), ?10, ?11
 WHERE NOT EXISTS (SELECT 1 FROM packhorse_meta WHERE key = ?12)

-- name: jobs
INSERT INTO packhorse_jobs (ns, created_at, id, kind, line, state, odd, priority, rank, made_by, payload)
SELECT ?1, ?2, v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9
  FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)) AS v

-- name: details
INSERT INTO packhorse_details (ns, seq, scheduled_at, due_at, expires_at, waits_until, crash_fails, parent, options, tags, meta)
SELECT ?1, v.column1, v.column2, v.column2, v.column3, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8
  FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?)) AS v

-- name: known
SELECT j.id, j.state, j.created_at, d.scheduled_at, k.task, q.name, j.payload
  FROM json_each(:ids) AS e
  CROSS JOIN packhorse_jobs j ON j.ns = :ns AND j.id = e.value
  CROSS JOIN packhorse_kinds k ON k.id = j.kind
  CROSS JOIN packhorse_lines q ON q.id = k.queue
  LEFT JOIN packhorse_details d ON d.seq = j.seq

-- name: rules
INSERT INTO packhorse_rules (ns, seq, queue, holds, after, after_flow, after_failed, flow, unique_key, unique_until, unique_end, unique_held)
SELECT ?1, v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, v.column10, v.column11
  FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS v

-- name: stored (of these ids)
SELECT j.id FROM json_each(:ids) AS e CROSS JOIN packhorse_jobs j ON j.ns = :ns AND j.id = e.value
