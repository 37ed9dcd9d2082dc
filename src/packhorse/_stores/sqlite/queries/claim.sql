-- name: live
SELECT state = 'live' FROM packhorse_workers WHERE id = :worker AND ns = :ns

-- name: every
SELECT id, name FROM packhorse_lines q
 WHERE ns = :ns AND side_of IS NULL AND paused_at IS NULL
   AND (EXISTS (SELECT 1 FROM packhorse_jobs WHERE line = q.id AND state = 2)
        OR EXISTS (SELECT 1 FROM packhorse_lines s CROSS JOIN packhorse_jobs j ON j.line = s.id
                    WHERE s.side_of = q.id AND j.state = 2))
 ORDER BY name

-- name: open
SELECT id, name FROM packhorse_lines WHERE ns = :ns AND name = :name AND side_of IS NULL AND paused_at IS NULL

-- name: heads (the priorities that a line has, and the first rank of each: a jump from one to the next, not a scan)
WITH RECURSIVE level (priority) AS (
    SELECT max(priority) FROM packhorse_jobs WHERE line = :line AND state = 2
    UNION ALL
    SELECT (SELECT max(priority) FROM packhorse_jobs
             WHERE line = :line AND state = 2 AND priority < level.priority)
      FROM level WHERE level.priority IS NOT NULL
)
SELECT (SELECT rank FROM packhorse_jobs
         WHERE line = :line AND state = 2 AND priority = level.priority ORDER BY rank LIMIT 1), priority
  FROM level WHERE priority IS NOT NULL

-- name: first (of one priority: all columns as joined text, so that a batch is one row and one call)
SELECT count(*), max(odd), group_concat(odd), group_concat(seq), group_concat(kind), group_concat(created_at),
       group_concat(id, char(30)), group_concat(coalesce(made_by, ''), char(30)), group_concat(payload, char(30))
  FROM (SELECT seq, odd, kind, created_at, id, made_by, payload
          FROM packhorse_jobs j
         WHERE line = :line AND priority = :priority AND state = 2
           AND (odd < 2 OR NOT EXISTS (SELECT 1 FROM packhorse_details d WHERE d.seq = j.seq AND d.expires_at <= :now))
         ORDER BY rank, seq
         LIMIT :limit)

-- name: ranks (the first of one priority, to be merged with those of others)
SELECT rank, seq
  FROM packhorse_jobs j
 WHERE line = :line AND priority = :priority AND state = 2
   AND (odd < 2 OR NOT EXISTS (SELECT 1 FROM packhorse_details d WHERE d.seq = j.seq AND d.expires_at <= :now))
 ORDER BY rank, seq
 LIMIT :limit

-- name: these
SELECT count(*), max(odd), group_concat(odd), group_concat(seq), group_concat(kind), group_concat(created_at),
       group_concat(id, char(30)), group_concat(coalesce(made_by, ''), char(30)), group_concat(payload, char(30))
  FROM (SELECT j.seq, odd, kind, created_at, j.id, made_by, payload
          FROM json_each(:seqs) AS e CROSS JOIN packhorse_jobs j ON j.seq = e.value)

-- name: texts (for the one batch in a million where a text holds the separator itself)
SELECT j.id, made_by, payload FROM json_each(:seqs) AS e CROSS JOIN packhorse_jobs j ON j.seq = e.value

-- name: add
INSERT INTO packhorse_claims (ns, worker, token, claim_no, fence, jobs, running, first, last, members)
VALUES (:ns, :worker, :token, :claim_no, :fence, :jobs, :jobs, :first, :last, :members)

-- name: take_run (numbers without a gap)
UPDATE packhorse_jobs SET state = 3, claim = :no, started_at = -1152921504606846976 WHERE seq BETWEEN :first AND :last

-- name: take
UPDATE packhorse_jobs SET state = 3, claim = :no, started_at = -1152921504606846976
 WHERE seq IN (SELECT value FROM json_each(:members))

-- name: later (jobs claimed before, by a clock that was ahead of the present one)
SELECT j.seq, c.fence FROM packhorse_jobs j JOIN packhorse_claims c ON c.no = j.claim
 WHERE j.seq IN (SELECT value FROM json_each(:seqs)) AND c.fence >= :now

-- name: leave (before the jobs are claimed anew, or deleted)
UPDATE packhorse_claims SET jobs = jobs - gone.number
  FROM (SELECT claim, count(*) AS number FROM packhorse_jobs
         WHERE seq IN (SELECT value FROM json_each(:seqs)) AND claim > 16777216 GROUP BY claim) AS gone
 WHERE no = gone.claim

-- name: forget
DELETE FROM packhorse_claims WHERE jobs = 0 AND no < (SELECT max(no) FROM packhorse_claims)

-- name: details
SELECT r.seq, r.id, token, task, queue, payload, options, crash_fails, suspect, failures, crashes, losses, snoozes,
       generation, fence, priority, created_at, scheduled_at, tags, meta, made_by, r.parent, error,
       holds, flow, flow IS NOT NULL OR (unique_held AND unique_until = 'started'),
       ruled AND failures + crashes + losses + snoozes + generation + suspect = 0
       AND coalesce(expires_at, reason, error, cancel_at) IS NULL
  FROM json_each(:seqs) AS e CROSS JOIN packhorse_records r ON r.seq = e.value
