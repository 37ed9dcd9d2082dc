-- Make the parked jobs of side lines queued there; those with rules wait for admit. ARGV: from 4 the lines.
local done = 0
for place = 4, #ARGV do
  local seqs = call('SMEMBERS', NS .. ':blocked:' .. ARGV[place])
  table.sort(seqs)
  for _, seq in ipairs(seqs) do
    local job = load(seq)
    if not job.d.wt then
      leave(job)
      make_ready(job.d)
      job.d.reason = nil
      enter(job)
      done = done + 1
    end
  end
end
if done > 0 then changed() end
return { done, stirred }
