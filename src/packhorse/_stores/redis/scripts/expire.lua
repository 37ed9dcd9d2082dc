-- Cancel waiting jobs whose time is over. ARGV[4]: at most so many.
if head[2] then return { {}, 0 } end
local seqs = call('ZRANGEBYSCORE', NS .. ':expiring', '-inf', NOW, 'LIMIT', 0, ARGV[4])
local done = {}
for _, seq in ipairs(seqs) do
  local job = load(seq)
  local d = job.d
  leave(job)
  d.s, d.fin, d.due, d.sus, d.reason = 'x', NOW, nil, nil, 'expired'
  enter(job)
  done[#done + 1] = job.id
end
if done[1] then changed() end
return { done, stirred }
