-- Make due jobs queued, and resume queues whose pause is over. ARGV[4]: at most so many jobs. Answers how many, in how many µs
-- there is more to do, whether anything changed, whether somebody may go now, whether jobs are being put back ("revive" follows).
if head[2] then return { 0, '', 0, 0, 0 } end
local DUE, ENDS = NS .. ':due', NS .. ':pause_ends'
local seqs = call('ZRANGEBYSCORE', DUE, '-inf', NOW, 'LIMIT', 0, ARGV[4])
local over = call('ZRANGEBYSCORE', ENDS, '-inf', NOW)
for _, queue in ipairs(over) do
  call('ZREM', ENDS, queue)
  call('HDEL', NS .. ':paused', queue)
  stirred = 1
end
for _, seq in ipairs(seqs) do
  local job = load(seq)
  leave(job)
  make_ready(job.d)
  job.d.due = nil
  enter(job)
end
local touched = seqs[1] or over[1]
if touched then changed() end
local following
for _, key in ipairs({ DUE, ENDS }) do
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if first and (not following or tonumber(first) < following) then following = tonumber(first) end
end
return {
  #seqs, following and fmt('%.0f', math.max(0, following - now)) or '', touched and 1 or 0, stirred, call('EXISTS', NS .. ':revive', NS .. ':reviving'),
}
