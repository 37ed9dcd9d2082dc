-- name: add (the order of the states is that of states.py)
UPDATE packhorse_lines
   SET n_queued = n_queued + ?, n_running = n_running + ?, n_scheduled = n_scheduled + ?, n_retrying = n_retrying + ?,
       n_blocked = n_blocked + ?, n_succeeded = n_succeeded + ?, n_failed = n_failed + ?, n_cancelled = n_cancelled + ?
 WHERE id = ?

-- name: ended (so many jobs of a claim run no more)
UPDATE packhorse_claims SET running = running - ? WHERE no = ?
