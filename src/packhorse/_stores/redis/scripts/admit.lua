-- Let go what waits and has no obstacle: one round, or a part of it. ARGV: 4 examine at most so many jobs.
-- Answers how many were queued and cancelled, whether there is more to do, whether it stopped for its own length (1) or the limit
-- (2), whether something waits, in how many µs a rate lets the next one go, how many were examined, whether jobs
-- are being put back.
if head[2] then return { 0, 0, 0, 0, 0, '', 0, 0 } end
local limit, FRESH, FREED, LATE, NEWS = tonumber(ARGV[4]), NS .. ':fresh', NS .. ':freed', NS .. ':late', NS .. ':news'
if tonumber(call('HGET', NS, 'waits') or 0) == 0 then
  local SHUT, OPEN = NS .. ':shut', NS .. ':open'
  if call('EXISTS', FREED, LATE, NEWS, SHUT, OPEN) > 0 then call('DEL', FREED, LATE, NEWS, SHUT, OPEN) end
  return { 0, 0, 0, 0, 0, '', 0, call('EXISTS', NS .. ':revive', NS .. ':reviving') }
end
call('ZREM', NEWS, '') -- so that what follows works when memory is full
local budget, cut = catch_up(400), false

-- Queues that are open again: those that had no place yet are looked at.
for _, queue in ipairs(call('SMEMBERS', NS .. ':shut')) do
  local key = NS .. ':shut:' .. queue
  if call('EXISTS', key) == 0 then
    call('SREM', NS .. ':shut', queue)
  elseif is_open(queue) and budget > 0 then
    local seqs = call('ZRANGE', key, 0, 999)
    call('ZREM', key, unpack(seqs))
    local words = {}
    for place, seq in ipairs(seqs) do words[2 * place - 1], words[2 * place] = seq, seq end
    many('ZADD', FRESH, words)
    budget = budget - #seqs / 4
  end
end

-- Queues that are open, or closed, since the last time: all lines in which their jobs stand.
for _, queue in ipairs(call('SMEMBERS', NS .. ':lined')) do
  local open = is_open(queue)
  if open ~= (call('SISMEMBER', NS .. ':open', queue) == 1) then
    if open then call('SADD', NS .. ':open', queue) else call('SREM', NS .. ':open', queue) end
    local names = call('SMEMBERS', NS .. ':lines_of:' .. queue)
    for place, name in ipairs(names) do names[place] = string.sub(name, 2) end
    many('SADD', FREED, names)
  end
end
if budget <= 0 then return { 0, 0, 1, 1, 1, '', limit, 0 } end

-- Those that have to be examined, oldest first: they give up, or get a place. Others are left until something becomes of what
-- they wait for.
local function examine(wanted, units)
  local found, offset = {}, 0
  while #found < wanted do
    local seqs, gone = call('ZRANGE', FRESH, offset, offset + 99), {}
    for _, seq in ipairs(seqs) do
      if units <= 0 or #found >= wanted then break end
      local job = load(seq)
      local unended, open, hopeless = before_the_lines(job)
      units = units - 1 - #(rules_of(job).a or {}) / 10
      local ready = not unended and open == 0
      if hopeless or (ready and not job.d.pl and is_open(job.queue)) then
        found[#found + 1] = { job, hopeless }
        offset = offset + 1
      else
        gone[#gone + 1] = seq
        if ready and not job.d.pl then
          call('ZADD', NS .. ':shut:' .. job.queue, seq, seq)
          call('SADD', NS .. ':shut', job.queue)
        end
      end
    end
    if gone[1] then call('ZREM', FRESH, unpack(gone)) end
    if units <= 0 then return found, true end
    if #seqs < 100 then break end
  end
  return found, false
end

local function words_for(parent)
  local d = parent.d
  if d.gu and d.reason and d.reason ~= '' then return d.reason end
  local how = d.s == 'f' and 'failed' or 'was cancelled'
  return 'parent ' .. parent.task .. ' ' .. parent.id .. ' ' .. how .. (d.reason and d.reason ~= '' and ': ' .. d.reason or '')
end

-- Parents are as they were before anybody gave up.
local function give_up(job, parent)
  leave(job)
  local d = job.d
  d.s, d.fin, d.due, d.sus, d.reason, d.gu = 'x', NOW, nil, nil, words_for(parent), parent.id
  enter(job)
end

local examined, long = examine(limit, 250)
cut = cut or long
local hopeless, newly = {}, {}
for _, each in ipairs(examined) do
  local job, because = each[1], each[2]
  if because then
    hopeless[#hopeless + 1] = { job, load(because) }
  else
    newly[#newly + 1] = job
  end
end
for _, each in ipairs(hopeless) do give_up(each[1], each[2]) end
for _, job in ipairs(newly) do
  call('ZREM', FRESH, job.seq)
  call('ZREM', NS .. ':shut:' .. job.queue, job.seq)
  job.d.pl = call('HINCRBY', NS, 'place', 1)
end

-- Those that may go, of the names that were freed and the rates of which something is left.
local candidates, of_name, wide = {}, {}, {}
local room = limit - #hopeless
local function collect(name, mode, tail, bound, number)
  local key = NS .. ':stuck:' .. tail
  local found = call('ZRANGEBYSCORE', key, '-inf', bound, 'WITHSCORES', 'LIMIT', 0, number)
  for place = 1, #found, 2 do
    candidates[#candidates + 1] = { tonumber(found[place + 1]), found[place], key, name }
  end
  return #found / 2
end

local function gather(name)
  local line, want = line_named(name), room + 1
  if line.x > 0 then return end
  local _, first = first_in(':line:', line, name, 'x')
  local bound = first and '(' .. fmt('%.0f', first) or '+inf'
  if line.s + line.l == 0 then
    local seq, place, key = first_in(':stuck:', line, name, 'x')
    if seq then candidates[#candidates + 1] = { place, seq, key, name } end
  end
  for _, tail in ipairs(tails(line, name, 's')) do
    if collect(name, 's', tail, bound, want) == want then wide[name] = true end
  end
  local limit_here = #line.queues.l > 0 and limit_of(name)
  if limit_here then
    local places = limit_here.places and limit_here.places - line.l or want
    local number = math.min(places, want)
    for _, tail in ipairs(tails(line, name, 'l')) do
      if number > 0 and collect(name, 'l', tail, bound, number) == number and number == want then wide[name] = true end
    end
  end
end

-- So many of a rate may go now.
local function gather_rate(name)
  local line, rate = line_named(name), limit_of(name)
  local number = room + 1
  if rate and rate.interval then
    local at = goes_at(name, rate)
    number = at > now and 0 or math.min(number, rate.burst, math.floor((now - at) / rate.interval) + 1)
  end
  for _, tail in ipairs(tails(line, name, 'r')) do
    if number > 0 then collect(name, 'r', tail, '+inf', number) end
  end
end

local freed = call('SMEMBERS', FREED)
table.sort(freed)
for place = #freed, 101, -1 do
  freed[place] = nil
  cut = true
end
if freed[1] then call('SREM', FREED, unpack(freed)) end
local due = call('ZRANGEBYSCORE', LATE, '-inf', NOW, 'LIMIT', 0, 50)
cut = cut or #due == 50
for _, name in ipairs(freed) do gather(name) end
for _, name in ipairs(due) do gather_rate(name) end
table.sort(candidates, function(a, b) return a[1] < b[1] end)

local admitted, left, tries = 0, false, 150
local function use_rates(rates)
  for _, each in ipairs(rates) do
    local name, rate = each[1], each[2]
    local tat = math.max(tonumber(call('ZSCORE', NS .. ':rates', name) or 0), now) + rate.interval
    call('ZADD', NS .. ':rates', fmt('%.0f', tat), name)
    if call('ZSCORE', LATE, name) then call('ZADD', LATE, fmt('%.0f', tat - (rate.burst - 1) * rate.interval), name) end
  end
end

local function let_go(job, rates)
  leave(job)
  job.quiet = true
  job.d.s, job.d.wt = 'q', nil
  enter(job)
  use_rates(rates)
  for _, hold in ipairs(rules_of(job).h or {}) do
    local line = named[hold[2]]
    if line then line[hold[1]] = line[hold[1]] + 1 end
  end
  admitted = admitted + 1
end

-- A job that has no obstacle, but for which there is no room in this call.
local function put_off(job)
  left = true
  ask_again(job)
end

-- One that stands in its lines: answers whether it has gone, or stands with another obstacle than before.
local function try(seq, key)
  tries = tries - 1
  local job = load(seq)
  local unended, open, because = before_the_lines(job)
  if unended or open > 0 or because then
    left = true -- it was not this call's turn to look at that
    return false
  end
  local found, rates = obstacle(job)
  if not found and admitted < room then
    let_go(job, rates)
    return true
  elseif not found then
    left = true
    return false
  end
  local other = stuck_key(job, found)
  if other ~= key then call('ZREM', key, seq) end
  stick(job, found)
  return other ~= key
end

for _, each in ipairs(candidates) do
  local full = tries <= 0 or (left and admitted >= room)
  if full or (not try(each[2], each[3]) and left) then call('SADD', FREED, each[4]) end
end
cut = cut or tries <= 0

for _, job in ipairs(newly) do
  -- Lines that it is the first to stand in were not known before.
  local found, rates = obstacle(job)
  if not found and admitted < room then
    let_go(job, rates)
  else
    into_lines(job)
    for _, hold in ipairs(holds_of(job)) do named[hold[2]] = nil end
    if found then stick(job, found) else put_off(job) end
    call('HSET', STATE, job.seq, cjson.encode(job.d))
  end
end

-- Of a rate that is not used up, one after the other, until nobody is left who may go.
local function drain_rate(name)
  while tries > 0 do
    local rate, line = limit_of(name), line_named(name)
    local seq, _, key = first_in(':stuck:', line, name, 'r')
    if not seq then return end
    if rate and rate.interval and goes_at(name, rate) > now then
      call('ZADD', LATE, fmt('%.0f', goes_at(name, rate)), name)
      return
    end
    if not try(seq, key) then return end
  end
  cut = true
end
for _, name in ipairs(due) do drain_rate(name) end
for name in pairs(wide) do
  call('SADD', FREED, name)
  cut = true
end

-- When the next one may go: the first of a rate may have got another obstacle meanwhile.
local following
local function first_of_rate(name)
  for _ = 1, 50 do
    local line = line_named(name)
    local seq, _, key = first_in(':stuck:', line, name, 'r')
    if not seq then
      if #line.queues.l == 0 and call('EXISTS', NS .. ':lines:' .. name) == 0 then call('ZREM', LATE, name) end
      return nil
    end
    local job = load(seq)
    local found = obstacle(job)
    if not found then
      left = true
      return nil
    end
    if found.kind == 'rate' and found.name == name then return found.at end
    call('ZREM', key, seq)
    stick(job, found)
  end
end
local late = call('ZRANGE', LATE, 0, 99, 'WITHSCORES')
for place = 1, #late, 2 do
  if following and tonumber(late[place + 1]) >= following then break end
  local at = first_of_rate(late[place])
  if at and (not following or at < following) then following = at end
end

if admitted > 0 or hopeless[1] then changed() end

-- Whether another round would find something: what has become of others by this.
forget_what_was_seen()
local more = left or cut
if not more and (hopeless[1] or examined[limit]) then
  more = catch_up(200) <= 0
  if not more then
    local found, unsure = examine(1, 100)
    more = found[1] ~= nil or unsure
  end
end
if not more and call('EXISTS', FREED) == 1 then more = true end
return {
  admitted, #hopeless, more and 1 or 0, cut and 1 or (left or examined[limit]) and 2 or 0, tonumber(call('HGET', NS, 'waits') or 0) > 0 and 1 or 0,
  following and fmt('%.0f', following - now) or '', math.max(#examined, #hopeless + admitted),
  call('EXISTS', NS .. ':revive', NS .. ':reviving'),
}
