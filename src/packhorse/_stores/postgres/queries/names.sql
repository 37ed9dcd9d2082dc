-- name: namespace
SELECT id FROM packhorse.namespaces WHERE name = $1

-- name: add_namespace
INSERT INTO packhorse.namespaces (name) VALUES ($1) ON CONFLICT (name) DO NOTHING RETURNING id

-- name: line
SELECT id FROM packhorse.lines WHERE ns = $1 AND name = $2 AND $3::int IS NOT DISTINCT FROM side_of

-- name: add_line
INSERT INTO packhorse.lines (ns, name, side_of) VALUES ($1, $2, $3) ON CONFLICT (ns, name) DO NOTHING RETURNING id

-- name: kind
SELECT id FROM packhorse.kinds WHERE ns = $1 AND queue = $2 AND task = $3

-- name: add_kind
INSERT INTO packhorse.kinds (ns, queue, task) VALUES ($1, $2, $3) ON CONFLICT (queue, task) DO NOTHING RETURNING id
