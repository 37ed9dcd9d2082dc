-- Pauses that end by themselves, and the step of a queue in every job's wide row.

ALTER TABLE packhorse.lines ADD COLUMN paused_until bigint;
CREATE INDEX lines_pause ON packhorse.lines (ns, paused_until) WHERE paused_until IS NOT NULL;

CREATE OR REPLACE VIEW packhorse.records AS
SELECT j.id, j.seq, k.task, q.name AS queue, j.state, j.payload, j.priority, j.rank, j.created_at, j.scheduled_at, j.due_at,
       j.started_at, j.finished_at, j.expires_at, j.options, j.crash_fails, j.suspect, j.failures, j.crashes, j.losses,
       j.snoozes, j.generation, j.fence, j.token, j.worker, l.name AS line, j.tags, j.meta, j.made_by, j.parent, j.result,
       j.result_until, j.error, j.reason, j.progress, j.cancel_at, j.cancel_by, j.cancel_reason, j.claim_no, j.ns, j.kind,
       j.line AS line_id, k.queue AS queue_id,
       j.holds, j.after, j.after_flow, coalesce(j.after_failed, false) AS after_failed, j.flow, j.unique_key, j.unique_until,
       j.held_key IS NOT NULL AS unique_held, j.unique_end, j.place, j.state = 4 AND j.waiting IS NULL AS parked, j.given_up,
       q.step
  FROM packhorse.jobs j
  JOIN packhorse.kinds k ON k.id = j.kind
  JOIN packhorse.lines q ON q.id = k.queue
  JOIN packhorse.lines l ON l.id = j.line;
