-- Delete jobs that do not run. ARGV: 4 states in which they may be, then numbers.
local done = {}
for place = 5, #ARGV do
  local job = load(ARGV[place])
  if job and string.find(ARGV[4], job.d.s, 1, true) then
    drop(job)
    done[#done + 1] = job.id
  end
end
if done[1] then changed() end
return done
