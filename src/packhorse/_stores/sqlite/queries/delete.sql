-- name: logs
DELETE FROM packhorse_logs WHERE job IN (SELECT value FROM json_each(:seqs))

-- name: attempts
DELETE FROM packhorse_attempts WHERE job IN (SELECT value FROM json_each(:seqs))

-- name: details
DELETE FROM packhorse_details WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: results
DELETE FROM packhorse_results WHERE seq IN (SELECT value FROM json_each(:seqs))

-- name: jobs
DELETE FROM packhorse_jobs WHERE seq IN (SELECT value FROM json_each(:seqs))
