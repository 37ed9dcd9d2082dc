-- name: newest
SELECT name, created_at, ended_at, n_queued, n_running, n_scheduled, n_retrying, n_blocked, n_succeeded, n_failed, n_cancelled
  FROM packhorse_flows
 WHERE ns = :ns AND (created_at, name) < (:created_at, :name)
 ORDER BY created_at DESC, name DESC LIMIT :limit

-- name: these
SELECT name, created_at, ended_at, n_queued, n_running, n_scheduled, n_retrying, n_blocked, n_succeeded, n_failed, n_cancelled
  FROM packhorse_flows
 WHERE ns = :ns AND name IN (SELECT value FROM json_each(:names)) AND (created_at, name) < (:created_at, :name)
 ORDER BY created_at DESC, name DESC LIMIT :limit

-- name: created
SELECT created_at FROM packhorse_flows WHERE ns = :ns AND name = :name
