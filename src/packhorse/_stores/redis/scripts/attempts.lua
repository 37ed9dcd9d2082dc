-- The ended runs of a job, its given part and state, the host of its worker. ARGV: 4 id.
local stored = call('HGET', IDS, ARGV[4])
if not stored then return {} end
local job = load(string.sub(stored, 1, 14))
local host = job.d.w and call('HGET', NS .. ':worker:' .. job.d.w, 'host')
return {
  call('LRANGE', NS .. ':attempts:' .. job.seq, 0, -1), job.seq, job.given, call('HGET', STATE, job.seq) or '', host or '',
  host and 1 or 0,
}
