-- What is in the way of a waiting job. After rules.lua, for admit and obstacles.

-- The queues from which work is taken: not paused, and served by a live worker.
local serving, opened
local function look_at_workers()
  serving, opened = { all = false, queues = {} }, {}
  for _, worker in ipairs(call('SMEMBERS', NS .. ':workers')) do
    local row = call('HMGET', NS .. ':worker:' .. worker, 'state', 'row')
    if row[1] == 'live' then
      local queues = cjson.decode(row[2]).queues
      if type(queues) == 'string' then
        for _, group in ipairs(cjson.decode(queues)) do
          for _, queue in ipairs(group) do serving.queues[queue] = true end
        end
      else
        serving.all = true
      end
    end
  end
end

local function is_paused(queue) return call('HEXISTS', NS .. ':paused', queue) == 1 end

local function is_served(queue)
  if not serving then look_at_workers() end
  return serving.all or serving.queues[queue] or false
end

local function is_open(queue)
  if not serving then look_at_workers() end
  if opened[queue] == nil then opened[queue] = is_served(queue) and not is_paused(queue) end
  return opened[queue]
end

-- Parents and flows, as they were when this was first asked.
local letters, numbers, flows = {}, {}, {}
local function read_parents(ids)
  local missing = {}
  for _, id in ipairs(ids) do
    if letters[id] == nil then missing[#missing + 1] = id end
  end
  if not missing[1] then return end
  local found, seqs, of = fields(IDS, missing), {}, {}
  for place, id in ipairs(missing) do
    letters[id] = false
    if found[place] then
      numbers[id] = string.sub(found[place], 1, 14)
      seqs[#seqs + 1] = numbers[id]
      of[#of + 1] = id
    end
  end
  for place, text in ipairs(fields(STATE, seqs)) do
    local s = 'q'
    if text then s = string.byte(text) == 123 and string.match(text, '"s":"(.)"') or string.sub(text, 1, 1) end
    letters[of[place]] = s
  end
end

local function read_flow(flow)
  local found = flows[flow]
  if not found then
    found = { open = tonumber(call('HGET', NS .. ':tally:' .. flow, 'open') or 0) }
    if found.open == 0 then found.lost = call('ZRANGE', NS .. ':lost:' .. flow, 0, 0)[1] end
    flows[flow] = found
  end
  return found
end

local function forget_what_was_seen() letters, flows = {}, {} end

-- What stands before the lines: an unended parent (its id), how many unended members of a flow; and the number of the job because of
-- which this one gives up.
local function before_the_lines(job)
  local rules, unended, hopeless = rules_of(job), nil, nil
  if rules.a then
    read_parents(rules.a)
    for _, id in ipairs(rules.a) do
      local s = letters[id]
      if s and not FINAL[s] then unended = unended or id end
      if (s == 'f' or s == 'x') and not rules.ff then hopeless = hopeless or numbers[id] end
    end
  end
  local open = 0
  if rules.af then
    local flow = read_flow(rules.af)
    open = flow.open
    if not rules.ff and open == 0 then hopeless = hopeless or flow.lost end
  end
  return unended, open, hopeless
end

-- Limits: {places} or {interval, burst}; false: nobody has declared one.
local wild
local limits = {}
local function limit_of(name)
  if limits[name] ~= nil then return limits[name] end
  local text = call('HGET', NS .. ':limits', name)
  if not text then
    if not wild then
      wild = {}
      local all = call('HGETALL', NS .. ':wild')
      for place = 1, #all, 2 do wild[#wild + 1] = { string.sub(all[place], 1, -2), all[place + 1], all[place] } end
      table.sort(wild, function(a, b) return #a[1] > #b[1] end)
    end
    for _, each in ipairs(wild) do
      if name == each[3] then text = each[2] end
    end
    for _, each in ipairs(wild) do
      if not text and string.sub(name, 1, #each[1]) == each[1] then text = each[2] end
    end
  end
  local found = text and cjson.decode(text) or false
  if found then
    found.places, found.interval, found.burst = tonumber(found.places), tonumber(found.interval), tonumber(found.burst)
  end
  limits[name] = found
  return found
end

local function goes_at(name, rate)
  return tonumber(call('ZSCORE', NS .. ':rates', name) or 0) - (rate.burst - 1) * rate.interval
end

-- The line of a name: how many have it, by mode, and the keys of the open queues' waiters, by mode.
local named = {}
local function line_named(name)
  local found = named[name]
  if not found then
    local has = NS .. ':has:'
    found = { queues = {} }
    for _, mode in ipairs({ 'x', 's', 'l' }) do
      found[mode] = name ~= '' and call('ZCARD', has .. mode .. ':' .. name) or 0
      found.queues[mode] = {}
    end
    for _, member in ipairs(call('SMEMBERS', NS .. ':lines:' .. name)) do
      local queue = string.sub(member, 2)
      if is_open(queue) then
        local list = found.queues[string.sub(member, 1, 1)]
        list[#list + 1] = queue
      end
    end
    named[name] = found
  end
  return found
end

local function tails(line, name, mode)
  local found = {}
  for number, queue in ipairs(line.queues[mode == 'r' and 'l' or mode]) do found[number] = mode .. ':' .. queue .. SEP .. name end
  return found
end

-- How many stand in a line before a place, in some modes; the first of them.
local function before(line, name, modes, place)
  local number = 0
  for mode in string.gmatch(modes, '.') do
    for _, tail in ipairs(tails(line, name, mode)) do
      number = number + call('ZCOUNT', NS .. ':line:' .. tail, '-inf', place and '(' .. place or '+inf')
    end
  end
  return number
end

local function first_in(kind, line, name, modes)
  local best, at, where
  for mode in string.gmatch(modes, '.') do
    for _, tail in ipairs(tails(line, name, mode)) do
      local one = call('ZRANGE', NS .. kind .. tail, 0, 0, 'WITHSCORES')
      if one[1] and (not at or tonumber(one[2]) < at) then best, at, where = one[1], tonumber(one[2]), NS .. kind .. tail end
    end
  end
  return best, at, where
end

local function holders(line, modes)
  local number = 0
  for mode in string.gmatch(modes, '.') do number = number + line[mode] end
  return number
end

local function in_the_way(line, name, modes, place)
  return holders(line, modes) > 0 or before(line, name, modes, place) > 0
end

-- The name that a job cannot have now, or the rate that is used up; nil: nothing is in its way. against: the modes that keep it out.
local function obstacle(job)
  local place, rates = job.d.pl and fmt('%.0f', job.d.pl), {}
  for _, hold in ipairs(holds_of(job)) do
    local mode, name = hold[1], hold[2]
    local line = line_named(name)
    local limit = mode == 'l' and limit_of(name)
    if mode == 'l' and not limit then return { kind = 'undeclared', name = name, mode = mode } end
    local against = mode == 'x' and 'xsl' or 'x'
    local kept = name ~= '' and in_the_way(line, name, against, place)
    if not kept and limit and limit.places and line.l + before(line, name, 'l', place) >= limit.places then
      kept, against = true, 'l'
    end
    if kept then return { kind = 'held', name = name, mode = mode, against = against } end
    if limit and limit.interval then rates[#rates + 1] = { name, limit } end
  end
  local worst
  for _, each in ipairs(rates) do
    local at = goes_at(each[1], each[2])
    if not worst or at > worst.at then worst = { kind = 'rate', name = each[1], mode = 'r', at = at } end
  end
  if worst and worst.at > now then return worst end
  return nil, rates
end

local function stuck_key(job, found) return NS .. ':stuck:' .. found.mode .. ':' .. job.queue .. SEP .. found.name end

-- Keep a job with what is in its way: it is looked at again when something becomes of that, and of nothing else.
local function stick(job, found)
  call('ZADD', stuck_key(job, found), job.d.pl, job.seq)
  if found.mode == 'r' then call('ZADD', NS .. ':late', fmt('%.0f', found.at), found.name) end
end

-- Have a job in its lines looked at.
local function ask_again(job)
  local hold = holds_of(job)[1]
  call('ZADD', NS .. ':stuck:' .. tail_of(job, hold), job.d.pl, job.seq)
  free(hold[2])
end

-- Look at those who wait for jobs and flows of which something has become. Answers what is left of the budget.
local function hear_news(budget)
  local NEWS = NS .. ':news'
  while budget > 0 do
    local one = call('ZRANGE', NEWS, 0, 0, 'WITHSCORES')
    if not one[1] then break end
    local key = NS .. (string.sub(one[1], 1, 1) == 'p' and ':after:' or ':after_flow:') .. string.sub(one[1], 2)
    local part = math.min(budget, 200)
    local seqs = call('ZRANGEBYSCORE', key, '(' .. one[2], '+inf', 'LIMIT', 0, part)
    if #seqs < part then call('ZREM', NEWS, one[1]) else call('ZADD', NEWS, seqs[#seqs], one[1]) end
    for place, text in ipairs(fields(STATE, seqs)) do
      local d = text and string.byte(text) == 123 and cjson.decode(text)
      if d and d.wt then call('ZADD', NS .. (d.pl and ':back' or ':fresh'), seqs[place], seqs[place]) end
    end
    budget = budget - #seqs - 1
  end
  return budget
end

-- Put those that have a place into their lines, or out of them.
local function bring_in_line(budget)
  local BACK = NS .. ':back'
  while budget > 0 do
    local seqs = call('ZRANGE', BACK, 0, 49)
    if not seqs[1] then break end
    call('ZREM', BACK, unpack(seqs))
    for _, seq in ipairs(seqs) do
      local job = load(seq)
      local unended, open, hopeless = before_the_lines(job)
      local stands = call('ZSCORE', NS .. ':line:' .. tail_of(job, holds_of(job)[1]), seq)
      if unended or open > 0 then
        if stands then out_of_lines(job, job.queue) end
      else
        if not stands then into_lines(job) end
        ask_again(job)
      end
      if hopeless then call('ZADD', NS .. ':fresh', seq, seq) end
      budget = budget - 3 - #(rules_of(job).a or {}) / 10
    end
  end
  return budget
end

local function catch_up(budget)
  budget = hear_news(budget)
  if budget > 0 then budget = bring_in_line(budget) end
  return budget
end
