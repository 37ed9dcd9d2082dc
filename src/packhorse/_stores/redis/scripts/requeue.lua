-- Make ended jobs run again, scheduled and retrying ones now. ARGV: 4 delay (µs), 5 states in which they may be, then numbers.
-- Answers their ids, and whether there are some that gave up because of them, perhaps ("revive" follows).
local delay, done = tonumber(ARGV[4]), {}
local due = delay > 0 and fmt('%.0f', now + delay) or nil
for place = 6, #ARGV do
  local job = load(ARGV[place])
  if job and string.find(ARGV[5], job.d.s, 1, true) and put_back(job, due) then done[#done + 1] = job.id end
end
if done[1] then changed() end
return { done, stirred, call('EXISTS', NS .. ':revive', NS .. ':reviving') }
