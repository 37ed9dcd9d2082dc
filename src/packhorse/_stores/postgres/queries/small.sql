-- name: now
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint

-- name: news
SELECT (SELECT last_value + is_called::int FROM packhorse.jobs_seq_seq) + (SELECT last_value + is_called::int FROM packhorse.news)

-- name: tell
SELECT nextval('packhorse.news')

-- name: instance
SELECT value FROM packhorse.meta WHERE key = 'instance'
