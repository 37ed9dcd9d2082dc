-- Make ended jobs run again, scheduled and retrying ones now. ARGV: 4 delay (µs), 5 states in which they may be, then numbers.
local delay, done = tonumber(ARGV[4]), {}
local due = delay > 0 and fmt('%.0f', now + delay) or nil
for place = 6, #ARGV do
  local job = load(ARGV[place])
  local d = job and job.d
  if job and string.find(ARGV[5], d.s, 1, true) then
    leave(job)
    if d.s == 's' and d.tok and not attempt(job, d.tok) then
      write_attempt(job, { token = d.tok, started = d.st, ended = d.fin, outcome = 'succeeded', reason = d.reason })
    end
    if FINAL[d.s] then
      job.d = {
        g = (d.g or 0) + 1, fence = d.fence, tok = d.tok, w = d.w, meta = d.meta, solo = d.solo, sch = d.sch,
      }
      d = job.d
    end
    d.s = due and 'c' or 'q'
    d.due, d.sch, d.line = due, due, nil
    d.rank = fmt('%.0f', (due or now) - job.priority * STEP)
    enter(job)
    done[#done + 1] = job.id
  end
end
if done[1] then changed() end
return done
