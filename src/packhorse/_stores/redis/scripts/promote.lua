-- Make due jobs queued. ARGV[4]: at most so many.
if head[2] then return { 0, '', 0 } end
local DUE = NS .. ':due'
local seqs = call('ZRANGEBYSCORE', DUE, '-inf', NOW, 'LIMIT', 0, ARGV[4])
for _, seq in ipairs(seqs) do
  local job = load(seq)
  leave(job)
  make_ready(job.d)
  job.d.due = nil
  enter(job)
end
if seqs[1] then changed() end
local following = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
return { #seqs, following[2] and fmt('%.0f', math.max(0, following[2] - now)) or '', stirred }
