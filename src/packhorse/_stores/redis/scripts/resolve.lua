-- Make the blocked jobs of side lines queued there. ARGV: from 4 the lines.
local done = 0
for place = 4, #ARGV do
  local seqs = call('SMEMBERS', NS .. ':blocked:' .. ARGV[place])
  table.sort(seqs)
  for _, seq in ipairs(seqs) do
    local job = load(seq)
    leave(job)
    job.d.s, job.d.reason = 'q', nil
    enter(job)
  end
  done = done + #seqs
end
if done > 0 then changed() end
return done
