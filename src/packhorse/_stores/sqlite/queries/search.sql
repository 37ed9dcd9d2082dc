-- name: kinds
SELECT k.id, k.queue FROM packhorse_kinds k JOIN packhorse_lines q ON q.id = k.queue
 WHERE k.ns = :ns AND (:task IS NULL OR k.task = :task) AND (:queue IS NULL OR q.name = :queue)

-- name: resting_down (the index is used only by a statement that repeats its condition)
SELECT seq FROM packhorse_jobs
 WHERE kind = :kind AND state = :state AND state NOT IN (2, 3) AND seq < :from
 ORDER BY seq DESC LIMIT :limit

-- name: resting_up
SELECT seq FROM packhorse_jobs
 WHERE kind = :kind AND state = :state AND state NOT IN (2, 3) AND seq > :from
 ORDER BY seq LIMIT :limit

-- name: running
SELECT seq FROM packhorse_running
 WHERE ns = :ns AND kind IN (SELECT value FROM json_each(:kinds)) ORDER BY seq

-- name: queued (for a line that is not long: they stand in the order of their ranks)
SELECT seq FROM packhorse_jobs
 WHERE line IN (SELECT id FROM packhorse_lines WHERE id = :queue OR side_of = :queue) AND state = 2
   AND kind IN (SELECT value FROM json_each(:kinds))
 ORDER BY seq

-- name: queued_count
SELECT n_queued FROM packhorse_lines WHERE id = :queue

-- name: window_down (a stretch of the table itself, so that no single statement takes long)
SELECT seq FROM packhorse_jobs NOT INDEXED
 WHERE seq < :from AND seq >= :to AND ns = :ns AND (:state IS NULL OR state = :state)
   AND (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))
 ORDER BY seq DESC

-- name: window_up
SELECT seq FROM packhorse_jobs NOT INDEXED
 WHERE seq > :from AND seq <= :to AND ns = :ns AND (:state IS NULL OR state = :state)
   AND (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))
 ORDER BY seq

-- name: all (of a small namespace, by the index of the ids)
SELECT seq FROM packhorse_jobs INDEXED BY packhorse_jobs_id WHERE ns = :ns ORDER BY seq

-- name: members (of a flow)
SELECT seq FROM packhorse_rules WHERE ns = :ns AND flow = :flow ORDER BY seq
