-- Delete what ended long ago. ARGV: 4 at most so many, then state, age in µs of each kind of end.
if head[2] then return { 0, 0, 0 } end
local limit, done, touched = tonumber(ARGV[4]), 0, false
local WINDOW = 1000

-- When a job ended, if it did in this state; it may have been put back, or be gone.
local function ended_at(text, state)
  if not text then return nil end
  local d = read_state(text)
  return d.s == state and tonumber(d.fin) or nil
end

-- One that a relay may send again stays longer than others, and one that a waiting job, or the time or the flow of a unique key needs.
local function kept(job, at)
  local d = job.d
  if is_waited_for(job) or (d.uk and d.ut and tonumber(d.ue) > now) or (d.uk and d.uf and goes_on(d.fl)) then return true end
  local options = given(job, 2)
  local seconds = options and string.match(options, '"kept_for":(%d+)')
  return seconds and at >= now - tonumber(seconds) * 1000000
end

-- The jobs stand in the order in which their ends were written, nearly that of the ends: look at a stretch at a time.
local function prune(state, before)
  local key = NS .. ':ended:' .. state
  for _ = 1, 20 do
    local seqs = call('LRANGE', key, 0, WINDOW - 1)
    local texts, old, rest, later, seen = fields(STATE, seqs), {}, {}, {}, {}
    for place, seq in ipairs(seqs) do
      local at = not seen[seq] and ended_at(texts[place], state)
      seen[seq] = true
      if at and at < before and done + #old < limit then
        local job = load(seq)
        if kept(job, at) then
          later[#later + 1] = seq
        else
          old[#old + 1] = job
        end
      elseif at then
        rest[#rest + 1] = seq
      end
    end
    if #rest == #seqs then return end
    call('LTRIM', key, #seqs, -1)
    for _, job in ipairs(old) do drop(job) end
    for place = #rest, 1, -1 do call('LPUSH', key, rest[place]) end
    for _, seq in ipairs(later) do call('RPUSH', key, seq) end -- behind those that they would hold up
    done = done + #old
    if rest[1] or not old[1] or done >= limit then return end
  end
end

for place = 5, #ARGV, 2 do
  if done < limit then prune(ARGV[place], now - tonumber(ARGV[place + 1])) end
end
local passed, dropped = 0, 0
while dropped < limit and passed < 5000 do
  local seqs = call('ZRANGEBYSCORE', NS .. ':results', '-inf', NOW, 'LIMIT', passed, 500)
  for _, seq in ipairs(seqs) do
    local job = load(seq)
    if dropped >= limit then
      break
    elseif is_waited_for(job) then
      passed = passed + 1
    else
      call('ZREM', NS .. ':results', seq)
      job.d.res = nil
      call('HSET', STATE, seq, cjson.encode(job.d))
      dropped = dropped + 1
    end
  end
  if #seqs < 500 then break end
end
touched = dropped > 0
if call('EXISTS', NS .. ':rates') == 1 then
  call('ZREMRANGEBYSCORE', NS .. ':rates', '-inf', NOW) -- nothing of them is used up
end
for _, worker in ipairs(call('SMEMBERS', NS .. ':workers')) do
  local key = NS .. ':worker:' .. worker
  local row = call('HMGET', key, 'state', 'seen')
  if row[1] == 'dead' and tonumber(row[2]) < now - 86400000000 then
    call('DEL', key)
    call('SREM', NS .. ':workers', worker)
  end
end
touched = touched or done > 0
if touched then changed() end
return { done, touched and 1 or 0, stirred }
