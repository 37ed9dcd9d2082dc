-- name: register
INSERT INTO packhorse.workers AS w (id, ns, name, host, pid, boot_id, lock_path, lock_inode, queues, slots, version, catalogue, info,
                               state, beats, started_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'live', 0, $14, $14)
ON CONFLICT (id) DO UPDATE
   SET name = excluded.name, host = excluded.host, pid = excluded.pid, boot_id = excluded.boot_id, lock_path = excluded.lock_path,
       lock_inode = excluded.lock_inode, queues = excluded.queues, slots = excluded.slots, version = excluded.version,
       catalogue = excluded.catalogue, info = excluded.info

-- name: named
SELECT pid, host FROM packhorse.workers WHERE ns = $1 AND name = $2 AND state <> 'dead' AND id <> $3

-- name: publish
UPDATE packhorse.workers SET catalogue = $3, info = $4 WHERE ns = $1 AND id = $2 AND state <> 'dead'

-- name: stopping
UPDATE packhorse.workers SET state = 'stopping' WHERE ns = $1 AND id = $2 AND state = 'live'

-- name: leave
DELETE FROM packhorse.workers WHERE ns = $1 AND id = $2 AND state <> 'dead'

-- name: condemn
WITH found AS MATERIALIZED (
    SELECT id, state FROM packhorse.workers WHERE ns = $1 AND id = $2 AND beats = $3 FOR UPDATE
), dead AS (
    UPDATE packhorse.workers w SET state = 'dead', proved = w.proved OR $4::boolean FROM found
     WHERE w.id = found.id AND (found.state <> 'dead' OR $4::boolean AND NOT w.proved)
)
SELECT count(*) FROM found

-- name: list
SELECT id, name, host, pid, boot_id, lock_path, lock_inode, queues, slots, version, catalogue, info, state, beats, started_at, seen_at, proved
  FROM packhorse.workers WHERE ns = $1 AND ($2::boolean OR state <> 'dead') ORDER BY started_at, n

-- name: forget
DELETE FROM packhorse.workers WHERE ns = $1 AND state = 'dead' AND seen_at < $2::bigint

-- name: beat
UPDATE packhorse.workers SET beats = beats + 1, seen_at = $3 WHERE ns = $1 AND id = $2 AND state <> 'dead' RETURNING id

-- name: mine
SELECT j.seq, j.id, j.token, j.claim_no, j.cancel_at, j.cancel_reason
  FROM packhorse.claims c
 CROSS JOIN LATERAL unnest(c.seqs) AS s (seq)
 CROSS JOIN LATERAL (SELECT * FROM packhorse.jobs j WHERE j.seq = s.seq AND j.state = :RUNNING AND j.token = c.token OFFSET 0) j
 WHERE c.ns = $1 AND c.worker = $2

-- name: side_lines
SELECT l.name FROM packhorse.lines l
 WHERE l.ns = $1 AND l.side_of IS NOT NULL
   AND (EXISTS (SELECT FROM packhorse.ready r WHERE r.line = l.id)
        OR EXISTS (SELECT FROM packhorse.kinds k JOIN packhorse.jobs j ON j.kind = k.id AND j.shelf = :BLOCKED AND j.line = l.id
                    WHERE k.queue = l.side_of))
 ORDER BY l.name
