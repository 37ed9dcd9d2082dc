-- name: rival
SELECT pid, host FROM packhorse_workers WHERE ns = :ns AND name = :name AND id <> :id AND state <> 'dead'

-- name: register
INSERT INTO packhorse_workers (id, ns, name, host, pid, boot_id, lock_path, lock_inode, queues, slots, version, catalogue,
                               info, state, beats, started_at, seen_at)
VALUES (:id, :ns, :name, :host, :pid, :boot_id, :lock_path, :lock_inode, :queues, :slots, :version, :catalogue, :info,
        'live', 0, :now, :now)
ON CONFLICT (id) DO UPDATE
   SET name = excluded.name, host = excluded.host, pid = excluded.pid, boot_id = excluded.boot_id,
       lock_path = excluded.lock_path, lock_inode = excluded.lock_inode, queues = excluded.queues,
       slots = excluded.slots, version = excluded.version, catalogue = excluded.catalogue, info = excluded.info

-- name: publish
UPDATE packhorse_workers SET catalogue = :catalogue, info = :info WHERE id = :id AND ns = :ns AND state <> 'dead'

-- name: stopping
UPDATE packhorse_workers SET state = 'stopping' WHERE id = :id AND ns = :ns AND state <> 'dead'

-- name: leave
DELETE FROM packhorse_workers WHERE id = :id AND ns = :ns AND state <> 'dead'

-- name: condemn
UPDATE packhorse_workers SET state = 'dead', proved = max(proved, :proved) WHERE id = :id AND ns = :ns AND beats = :beats

-- name: list
SELECT id, name, host, pid, boot_id, lock_path, lock_inode, queues, slots, version, catalogue, info, state, beats,
       started_at, seen_at, proved
  FROM packhorse_workers WHERE ns = :ns AND (:dead OR state <> 'dead')
 ORDER BY started_at, n

-- name: forget
DELETE FROM packhorse_workers WHERE ns = :ns AND state = 'dead' AND seen_at < :before
