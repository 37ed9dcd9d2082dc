-- End attempts. From ARGV[4]: id, token, body of each. A plain body is "started, ended (µs ago), result"; any other is JSON.
local size = (#ARGV - 3) / 3
local ids = {}
for place = 1, size do ids[place] = ARGV[3 * place + 1] end
local stored = fields(IDS, ids)
local seqs = {}
for place = 1, size do seqs[place] = stored[place] and string.sub(stored[place], 1, 14) or '' end
local texts = fields(STATE, seqs)

-- Plain successes change nothing but the job itself: they are nearly all, and are written together. All jobs of one claim
-- have the same text until then.
local seen, others, marks, ended, holders, kinds = {}, {}, {}, {}, {}, {}
local last_text, last_token, prefix, held
for place = 1, size do
  local at = 3 * place
  local seq, text, token, body = seqs[place], texts[place], ARGV[at + 2], ARGV[at + 3]
  local plain = text and not seen[seq] and string.byte(body) ~= 123
  if plain and (text ~= last_text or token ~= last_token) then
    plain = string.sub(text, 1, #token + 2) == 'r' .. token .. SEP
    if plain then
      last_text, last_token = text, token
      prefix = 's' .. string.sub(text, 2) .. SEP .. NOW .. SEP
      held = holders[text] or {}
      holders[text] = held
    end
  end
  if plain then
    local number = #ended + 1
    ended[number] = seq
    marks[2 * number - 1], marks[2 * number] = seq, prefix .. body
    held[#held + 1] = seq
    local kind = string.sub(stored[place], 15)
    local of = kinds[kind]
    if not of then
      of = {}
      kinds[kind] = of
    end
    of[#of + 1] = seq
  else
    others[#others + 1] = place
  end
  seen[seq] = true
end
if ended[1] then
  for text, of in pairs(holders) do
    many('SREM', NS .. ':held:' .. string.match(text, '\30([^\30]*)'), of)
  end
  many('HSET', STATE, marks)
  many('RPUSH', NS .. ':ended:s', ended)
  for kind, of in pairs(kinds) do
    local chunks, key = {}, NS .. ':ix:' .. kind .. ':s'
    for _, seq in ipairs(of) do
      local number = tonumber(seq)
      local rest = number % 512
      local chunk = number - rest
      local numbers = chunks[chunk]
      if not numbers then
        numbers = {}
        chunks[chunk] = numbers
      end
      numbers[#numbers + 1] = rest
    end
    for chunk, numbers in pairs(chunks) do
      local name = fmt('%.0f', chunk / 512)
      many('SADD', key .. ':' .. name, numbers)
      call('ZADD', key, name, name)
    end
    local queue = kind_of(kind).queue
    call('HINCRBY', COUNTS, queue .. SEP .. 'r', -#of)
    call('HINCRBY', COUNTS, queue .. SEP .. 's', #of)
  end
end

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
    if verdict.outcome == 'snoozed' and d.due then d.rank = fmt('%.0f', d.due - job.priority * STEP) end
    if d.s == 'b' and verdict.line then d.line = verdict.line end
    if verdict.outcome == 'released' then d.st = nil end
  end
  enter(job)
end

local touched = ended[1] ~= nil
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
