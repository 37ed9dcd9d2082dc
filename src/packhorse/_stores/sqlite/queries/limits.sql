-- name: all
SELECT name, value, made_by, app, set_at FROM packhorse_limits WHERE ns = ? ORDER BY name

-- name: values
SELECT name, value FROM packhorse_limits WHERE ns = ?

-- name: put
INSERT OR REPLACE INTO packhorse_limits (ns, name, value, made_by, app, set_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: drop
DELETE FROM packhorse_limits WHERE ns = ? AND name = ?

-- name: rated
SELECT name FROM packhorse_rates WHERE ns = ?

-- name: forget_rate
DELETE FROM packhorse_rates WHERE ns = ? AND name = ?

-- name: slept_behind (all names; the condition of the index is repeated)
SELECT DISTINCT substr(behind, 2) FROM packhorse_rules WHERE ns = ? AND stage = 6 AND behind >= 'l' AND behind < 'm'

-- name: rates
SELECT name, tat FROM packhorse_rates WHERE ns = ? AND tat > ? ORDER BY name

-- name: put_rate
INSERT OR REPLACE INTO packhorse_rates (ns, name, tat) VALUES (?, ?, ?)

-- name: forget_past
DELETE FROM packhorse_rates WHERE ns = :ns AND tat <= :now AND wakes IS NULL
