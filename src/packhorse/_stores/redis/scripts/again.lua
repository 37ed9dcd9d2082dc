-- Making jobs run again. After rules.lua, for requeue and revive.

-- Take the unique key again that an ended job had; false: another job has it.
local function take_key(job)
  local rules = rules_of(job)
  if not rules.u or rules.uu == 'time' then return true end
  local holder, over = holder_of(rules.u)
  if holder and holder.seq ~= job.seq then return false end
  if over then let_go_of_key(over) end
  return true
end

-- Put a job back; false: it cannot be.
local function put_back(job, due)
  local d = job.d
  if FINAL[d.s] then
    if not take_key(job) then return false end
    job = load(job.seq)
    d = job.d
  end
  leave(job)
  if d.s == 's' and d.tok and not attempt(job, d.tok) then
    write_attempt(job, { token = d.tok, started = d.st, ended = d.fin, outcome = 'succeeded', reason = d.reason })
  end
  if FINAL[d.s] then
    local rules = rules_of(job)
    job.d = {
      g = (d.g or 0) + 1, fence = d.fence, tok = d.tok, w = d.w, meta = d.meta, solo = d.solo, sch = d.sch, R = d.R,
      aw = d.aw, h = d.h, fl = d.fl, us = d.us, ut = d.ut, uf = d.uf, ue = d.ue, uk = d.uk, k = d.k,
    }
    if rules.u and not d.ut then
      job.d.uk = rules.u
      call('HSET', NS .. ':unique', rules.u, job.seq)
    end
    if call('EXISTS', NS .. ':gave_up:' .. job.id) == 1 then call('RPUSH', NS .. ':revive', job.id) end
    d = job.d
  end
  if due then d.s = 'c' else make_ready(d) end
  d.due, d.sch, d.line = due, due, nil
  d.rank = fmt('%.0f', (due or now) - job.priority * step_of(job.queue, job.priority))
  enter(job)
  return true
end
