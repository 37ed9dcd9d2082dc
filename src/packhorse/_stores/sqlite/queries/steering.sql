-- name: pause (a queue that is paused stays so since when it was)
UPDATE packhorse_lines
   SET paused_at = coalesce(paused_at, :now), paused_by = :by, paused_reason = :reason, paused_until = :until
 WHERE id = :queue

-- name: resume
UPDATE packhorse_lines SET paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_until = NULL
 WHERE ns = :ns AND name = :name AND paused_at IS NOT NULL

-- name: end_pauses
UPDATE packhorse_lines SET paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_until = NULL
 WHERE ns = :ns AND paused_until <= :now

-- name: step
SELECT step FROM packhorse_lines WHERE id = ?

-- name: set_step
UPDATE packhorse_lines SET step = :step WHERE id = :queue

-- name: steps (that are not the default)
SELECT name, step FROM packhorse_lines WHERE ns = ? AND side_of IS NULL AND step <> ? ORDER BY name

-- name: job
UPDATE packhorse_jobs
   SET kind = :kind, line = :line, state = :state, priority = :priority, rank = :rank, payload = :payload
 WHERE seq = :seq

-- name: details
INSERT INTO packhorse_details (seq, ns, scheduled_at, due_at, expires_at, waits_until, options, tags, meta, reason)
VALUES (:seq, :ns, :scheduled_at, :due_at, :expires_at, :expires_at, :options, :tags, :meta, :reason)
ON CONFLICT (seq) DO UPDATE
   SET scheduled_at = excluded.scheduled_at, due_at = excluded.due_at, expires_at = excluded.expires_at,
       waits_until = excluded.waits_until, options = excluded.options, tags = excluded.tags, meta = excluded.meta,
       reason = excluded.reason

-- name: has_details
UPDATE packhorse_jobs SET odd = max(odd, 2) WHERE seq = ?

-- name: rules (of one that has some: of another queue, and in no side line)
UPDATE packhorse_rules SET queue = ?, parked = 0 WHERE seq = ?
