-- Hand queued jobs to a live worker. ARGV: 4 worker, 5 free, 6 free and ahead, 7 token, 8 claim_no, 9 turn, 10 how many queues
-- are named (-1: all), then the queues, then the side lines served.
if head[2] then return { 'closed', head[2] } end
local worker, free, room, token = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
if call('HGET', NS .. ':worker:' .. worker, 'state') ~= 'live' then return { NOW, 0, {}, {} } end
local named = tonumber(ARGV[10])
local asked, sides = {}, {}
if named < 0 then
  local busy = call('SMEMBERS', NS .. ':busy')
  table.sort(busy)
  local turn = #busy > 0 and tonumber(ARGV[9]) % #busy or 0
  for place = 1, #busy do asked[place] = busy[(place - 1 + turn) % #busy + 1] end
else
  for place = 1, named do asked[place] = ARGV[10 + place] end
end
for place = 11 + math.max(named, 0), #ARGV do sides[#sides + 1] = ARGV[place] end
local paused = {}
for _, queue in ipairs(call('HKEYS', NS .. ':paused')) do paused[queue] = true end

-- The first jobs of a line over all its priorities: their numbers and the keys they stand in.
local function first_of(line, limit)
  local keys = {}
  for priority in string.gmatch(call('HGET', NAMES, 'l' .. line) or '', '%S+') do
    keys[#keys + 1] = NS .. ':ready:' .. priority .. ':' .. line
  end
  if #keys <= 1 then return keys[1] and call('ZRANGE', keys[1], 0, limit - 1) or {}, keys[1] end
  local heads, best = {}, {}
  for _, key in ipairs(keys) do
    local one = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if one[1] then heads[#heads + 1] = { tonumber(one[2]), key } end
  end
  table.sort(heads, function(a, b) return a[1] < b[1] end)
  local function before(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
  end
  for _, each in ipairs(heads) do
    if #best >= limit and best[limit][1] < each[1] then break end
    local found = call('ZRANGE', each[2], 0, limit - 1, 'WITHSCORES')
    for place = 1, #found, 2 do best[#best + 1] = { tonumber(found[place + 1]), found[place], each[2] } end
    table.sort(best, before)
    for place = #best, limit + 1, -1 do best[place] = nil end
  end
  local seqs, of = {}, {}
  for place, each in ipairs(best) do
    seqs[place] = each[2]
    of[each[2]] = each[3]
  end
  return seqs, of
end

-- Read and check: which jobs of a line are taken. Those of which more is stored than what was given are marked with a "+".
local taken, odd, more = 0, {}, false
local function choose(line)
  local limit = room - taken + 1
  while true do
    local members, keys = first_of(line, limit)
    local marked, places = {}, {}
    for place = 1, #members do
      if #members[place] > 14 then
        marked[#marked + 1] = string.sub(members[place], 1, 14)
        places[place] = #marked
      end
    end
    -- Read in pieces: the first that runs alone may be the end of it.
    local texts, read = {}, 0
    local function text_of(number)
      if number > read then
        local part = {}
        for n = read + 1, math.min(read + 64, #marked) do part[n - read] = marked[n] end
        for n, text in ipairs(call('HMGET', STATE, unpack(part))) do texts[read + n] = text end
        read = read + #part
      end
      return texts[number]
    end
    local chosen, oddities, skipped = {}, {}, false
    for place = 1, #members do
      local d = places[place] and cjson.decode(text_of(places[place]))
      if d and d.exp and tonumber(d.exp) <= now then
        skipped = true
      else
        local has = taken + #chosen
        if has >= room or (has >= free and d and (d.solo or d.sus or d.h)) then return chosen, keys, oddities, skipped, true end
        chosen[#chosen + 1] = members[place]
        if d then oddities[#chosen] = d end
      end
    end
    if #members < limit then return chosen, keys, oddities, skipped, false end
    limit = limit * 2
  end
end

local function remove(chosen, keys, skipped)
  if type(keys) == 'table' then
    for _, name in ipairs(chosen) do call('ZREM', keys[name], name) end
  elseif skipped then
    many('ZREM', keys, chosen)
  else
    call('ZREMRANGEBYRANK', keys, 0, #chosen - 1)
  end
end

local mark = 'r' .. token .. SEP .. worker .. SEP .. ARGV[8] .. SEP .. NOW
local HELD, jobs = NS .. ':held:' .. worker, {}
local function take(queue, line)
  local chosen, keys, oddities, skipped, full = choose(line)
  local size = #chosen
  if size == 0 then return full end
  remove(chosen, keys, skipped)
  local marks = {}
  for place = 1, size do
    local seq, text, d = chosen[place], mark, oddities[place]
    if d then
      seq = string.sub(seq, 1, 14)
      chosen[place] = seq
      d.s, d.tok, d.w, d.cn, d.st = 'r', token, worker, tonumber(ARGV[8]), nil
      d.fence = fmt('%.0f', math.max((tonumber(d.fence) or 0) + 1, now))
      if d.exp then call('ZREM', NS .. ':expiring', seq) end
      if d.us and d.uk then
        call('HDEL', NS .. ':unique', d.uk)
        d.uk = nil
      end
      if d.fl then
        call('HINCRBY', NS .. ':tally:' .. d.fl, 'q', -1)
        call('HINCRBY', NS .. ':tally:' .. d.fl, 'r', 1)
      end
      text = cjson.encode(d)
      odd[#odd + 1] = taken + place - 1
      odd[#odd + 1] = text
    end
    marks[2 * place - 1] = seq
    marks[2 * place] = text
  end
  jobs[#jobs + 1] = fields(JOB, chosen)
  many('SADD', HELD, chosen)
  many('HSET', STATE, marks)
  count(queue, 'q', -size)
  call('HINCRBY', COUNTS, queue .. SEP .. 'r', size)
  taken = taken + size
  return full
end

local seen = {}
for _, queue in ipairs(asked) do
  if not seen[queue] and not paused[queue] then
    seen[queue] = true
    more = take(queue, queue)
    local served = {}
    for _, side in ipairs(sides) do
      if not more and not served[side] and string.sub(side, 1, #queue + 1) == queue .. '#' then
        served[side] = true
        more = take(queue, side)
      end
    end
    if more then break end
  end
end
local found = jobs[1] or {}
for part = 2, #jobs do
  for _, text in ipairs(jobs[part]) do found[#found + 1] = text end
end
return { NOW, more and 1 or 0, found, odd }
