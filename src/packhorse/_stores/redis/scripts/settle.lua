-- The other verdicts: settle_plain.lua has gone before.
local answers = {}
local function answer(place, how, state)
  answers[#answers + 1] = place
  answers[#answers + 1] = how
  answers[#answers + 1] = state
end

local function verdict_of(body)
  if string.byte(body) == 123 then return cjson.decode(body) end
  local started, ended_ago, result = string.match(body, '^([^\30]*)\30([^\30]*)\30(.*)$')
  return {
    outcome = 'succeeded', state = 's', plain = true, started = tonumber(started), ended = tonumber(ended_ago),
    result = result ~= '' and result or nil, late = result ~= '' and result or nil,
  }
end

-- A verdict that does not hold: tell one that was applied before from one that comes too late.
local function refuse(job, token, verdict)
  local d = job.d
  local row, place = attempt(job, token)
  local mine = d.tok == token and d.s ~= 'r'
  local applied
  if verdict.elsewhere and mine and FINAL[d.s] then
    applied = true
    write_log(job, token, verdict.log, verdict.dropped or 0)
  elseif row then
    applied = row.outcome == (verdict.asked or verdict.outcome)
  else
    applied = mine and (FINAL[d.s] or verdict.outcome == 'released')
  end
  if not applied and row and verdict.late then
    row.late = verdict.late
    call('LSET', NS .. ':attempts:' .. job.seq, place, cjson.encode(row))
  end
  return applied and 'repeated' or 'stale'
end

local function plus(a, b)
  local sum = (a or 0) + (b or 0)
  return sum ~= 0 and sum or nil
end

local function finish(d, state, at)
  d.s, d.fin, d.due, d.sus, d.cn = state, at, nil, nil, nil
end

local function apply(job, token, verdict)
  local d = job.d
  local started = verdict.started and fmt('%.0f', now - verdict.started) or d.st
  local ended_at = fmt('%.0f', now - verdict.ended)
  leave(job)
  if not verdict.plain and not (verdict.outcome == 'released' and not started) then
    write_attempt(job, {
      token = token, started = started, ended = ended_at, outcome = verdict.outcome, error = verdict.error,
      reason = verdict.reason, usage = verdict.usage,
    })
  end
  write_log(job, token, verdict.log, verdict.dropped or 0)
  local request = d.cr
  d.cr, d.st, d.reason = nil, started, verdict.reason
  d.f, d.c = plus(d.f, verdict.failures), plus(d.c, verdict.crashes)
  d.l, d.n = plus(d.l, verdict.losses), plus(d.n, verdict.snoozes)
  if verdict.state == 's' then d.error = nil else d.error = verdict.error or d.error end
  if d.ca and verdict.state ~= 's' and verdict.state ~= 'x' then
    finish(d, 'x', ended_at)
    d.reason = request
  elseif verdict.state == 'x' then
    finish(d, 'x', ended_at)
    d.reason = verdict.reason or request
  elseif FINAL[verdict.state] then
    finish(d, verdict.state, ended_at)
    d.res = verdict.result
    d.ru = verdict.keep and fmt('%.0f', now + verdict.keep) or nil
  else
    d.s, d.cn, d.sus = verdict.state, nil, verdict.suspect
    d.due = (d.s == 'y' or d.s == 'c') and fmt('%.0f', now + verdict.delay) or nil
    if d.s == 'c' then d.sch = d.due end
    if verdict.outcome == 'snoozed' and d.due then d.rank = fmt('%.0f', d.due - job.priority * step_of(job.queue, job.priority)) end
    if d.s == 'b' and verdict.line then d.line = verdict.line end
    if verdict.outcome == 'released' then d.st = nil end
  end
  enter(job)
end

for _, place in ipairs(others) do
  local job = seqs[place] ~= '' and load(seqs[place])
  local token = ARGV[3 * place + 2]
  if not job then
    answer(place - 1, 'stale', '')
  else
    local verdict = verdict_of(ARGV[3 * place + 3])
    if job.d.s ~= 'r' or job.d.tok ~= token then
      answer(place - 1, refuse(job, token, verdict), job.d.s)
    else
      apply(job, token, verdict)
      touched = true
      if job.d.s ~= verdict.state then answer(place - 1, 'cancelled', job.d.s) end
    end
  end
end
if touched then changed() end
return { touched and 1 or 0, answers, stirred }
