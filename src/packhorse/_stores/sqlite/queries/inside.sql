-- name: stored
SELECT EXISTS (SELECT 1 FROM packhorse_jobs WHERE ns = ? AND id = ?)

-- name: running (what a success has to know of the job before it; the last column: whether nothing has gone wrong yet)
SELECT token, cancel_at, started_at, failures + crashes + losses + snoozes + generation = 0
  FROM packhorse_records WHERE ns = ? AND id = ? AND state = 3
