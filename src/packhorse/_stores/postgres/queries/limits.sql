-- name: flows
SELECT f.id, f.created_at, f.ended_at, c.state, c.jobs, c.ended
  FROM (SELECT * FROM packhorse.flows f
         WHERE f.ns = $1 AND ($2::text[] IS NULL OR f.id = ANY ($2::text[]))
           AND ($4::text IS NULL OR (f.created_at, f.id) < (SELECT g.created_at, g.id FROM packhorse.flows g WHERE g.ns = $1 AND g.id = $4))
           AND EXISTS (SELECT FROM packhorse.members m WHERE m.ns = $1 AND m.flow = f.id)
         ORDER BY f.created_at DESC, f.id DESC LIMIT $3::bigint) AS f
 CROSS JOIN LATERAL (
    SELECT j.state, count(*) AS jobs, max(j.finished_at) AS ended
      FROM packhorse.members m JOIN packhorse.jobs j ON j.seq = m.seq WHERE m.ns = $1 AND m.flow = f.id GROUP BY j.state) AS c
 ORDER BY f.created_at DESC, f.id DESC, c.state

-- name: all
SELECT name, value, by, app, set_at FROM packhorse.limits WHERE ns = $1 ORDER BY name

-- name: set
INSERT INTO packhorse.limits (ns, name, value, by, app, set_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (ns, name) DO UPDATE SET value = excluded.value, by = excluded.by, app = excluded.app, set_at = excluded.set_at

-- name: drop
DELETE FROM packhorse.limits WHERE ns = $1 AND name = $2

-- name: forget_rates
DELETE FROM packhorse.rates WHERE ns = $1 AND (name = $2 OR ($3::text IS NOT NULL AND starts_with(name, $3::text)))

-- name: free (all who wait for a place of such a name may have more of them now)
INSERT INTO packhorse.freed (ns, kind, what)
SELECT DISTINCT $1::int, 'l', w.name FROM packhorse.wants w
 WHERE w.ns = $1 AND w.mode = 'l' AND (w.name = $2 OR ($3::text IS NOT NULL AND starts_with(w.name, $3::text)))

-- name: rates
SELECT name, tat FROM packhorse.rates WHERE ns = $1 AND ($2::text[] IS NULL OR name = ANY ($2::text[])) ORDER BY name

-- name: use_rates
INSERT INTO packhorse.rates (ns, name, tat) SELECT $1, v.name, v.tat FROM unnest($2::text[], $3::bigint[]) AS v (name, tat)
ON CONFLICT (ns, name) DO UPDATE SET tat = excluded.tat
