-- Delete jobs that do not run, and that no job names which has not ended. ARGV: 4 states in which they may be, then numbers.
local chosen, done = {}, {}
for place = 5, #ARGV do
  local job = load(ARGV[place])
  if job and string.find(ARGV[4], job.d.s, 1, true) then
    if not job.d.k or call('EXISTS', NS .. ':after:' .. job.id) == 0 then chosen[#chosen + 1] = job end
  end
end
for place, job in ipairs(chosen) do
  drop(load(job.seq))
  done[place] = job.id
end
if done[1] then changed() end
return { done, stirred }
