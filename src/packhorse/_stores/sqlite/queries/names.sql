-- name: line
SELECT id FROM packhorse_lines WHERE ns = :ns AND name = :name

-- name: add_line
INSERT INTO packhorse_lines (ns, name, side_of) VALUES (:ns, :name, :side_of)

-- name: kind
SELECT id FROM packhorse_kinds WHERE queue = :queue AND task = :task

-- name: add_kind
INSERT INTO packhorse_kinds (ns, queue, task) VALUES (:ns, :queue, :task)

-- name: called
SELECT k.task, q.name, q.id FROM packhorse_kinds k JOIN packhorse_lines q ON q.id = k.queue WHERE k.id = :kind
