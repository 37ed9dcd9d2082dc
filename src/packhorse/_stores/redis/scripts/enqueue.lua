-- Store jobs, all or none. From ARGV[4]: id, spec, rest of each. spec is JSON: queue, task, priority, delay, at, expires,
-- expires_at, solo (times in µs, absolute ones as text); "" means that of the job before.
if head[2] then return { 'closed', head[2] } end
local size = (#ARGV - 3) / 3
local ids, specs, kinds, texts = {}, {}, {}, {}
local spec
for place = 1, size do
  ids[place] = ARGV[3 * place + 1]
  local text = ARGV[3 * place + 2]
  if text ~= '' then
    spec = texts[text]
    if not spec then
      spec = cjson.decode(text)
      texts[text] = spec
    end
  end
  specs[place] = spec
end

-- Read and check.
local stored = fields(IDS, ids)
local first, answers, fresh = {}, {}, 0
local function content(place)
  return specs[place].queue .. SEP .. specs[place].task .. SEP .. string.match(ARGV[3 * place + 3], '^[^\30]*')
end
for place = 1, size do
  local id = ids[place]
  if stored[place] then
    local job = load(string.sub(stored[place], 1, 14))
    local payload = string.match(job.given, '^[^\30]*\30[^\30]*\30[^\30]*\30[^\30]*\30([^\30]*)')
    if job.queue .. SEP .. job.task .. SEP .. payload ~= content(place) then return { 'conflict', id } end
    answers[#answers + 1] = { place, 1, job.d.s, job.created, job.d.sch or '' }
  elseif first[id] then
    if content(first[id]) ~= content(place) then return { 'conflict', id } end
    answers[#answers + 1] = { place, 1, -first[id], '', '' }
  else
    first[id] = place
    fresh = fresh + 1
  end
end
if fresh == 0 then return { 0, NOW, answers, {} } end

-- Write: from here on nothing may fail.
local last = call('HINCRBY', NS, 'seq', fresh)
local seq, made = last - fresh, {}
for _, each in pairs(texts) do
  local name = each.queue .. SEP .. each.task
  local kind = kinds[name]
  if not kind then
    kind = call('HGET', NAMES, 'k' .. name)
    if not kind then
      kind = fmt('%.0f', call('HINCRBY', NAMES, 'kinds', 1))
      call('HSET', NAMES, 'k' .. name, kind, 'n' .. kind, name)
    end
    kinds[name] = kind
  end
  know_line(each.queue, each.priority)
  each.kind = kind
  made[#made + 1] = { each.queue, each.task, fmt('%.0f', each.priority), kind }
  each.plain = not (each.at or each.delay or each.expires or each.expires_at or each.solo)
  each.prefix = NOW .. SEP .. kind .. SEP .. fmt('%.0f', each.priority) .. SEP
  each.rank = fmt('%.0f', now - each.priority * STEP)
  each.key = NS .. ':ready:' .. fmt('%.0f', each.priority) .. ':' .. each.queue
end
local places, jobs, lines, queued = {}, {}, {}, {}
for place = 1, size do
  local id = ids[place]
  if first[id] == place then
    local each, number = specs[place], fmt('%.0f', seq + 1)
    seq = seq + 1
    places[#places + 1] = id
    places[#places + 1] = number .. each.kind
    jobs[#jobs + 1] = number
    jobs[#jobs + 1] = each.prefix .. id .. SEP .. ARGV[3 * place + 3]
    if each.plain then
      local line = lines[each.key]
      if not line then
        line = {}
        lines[each.key] = line
      end
      line[#line + 1] = each.rank
      line[#line + 1] = number
      queued[each.queue] = (queued[each.queue] or 0) + 1
    else
      local ready = tonumber(each.at) or now + (each.delay or 0)
      local later = ready > now
      local due = later and (each.at or fmt('%.0f', ready)) or nil
      local rank = fmt('%.0f', (later and ready or now) - each.priority * STEP)
      local expires = each.expires_at or each.expires and fmt('%.0f', now + each.expires) or nil
      local d = { s = later and 'c' or 'q', rank = rank, due = due, sch = due, exp = expires, solo = each.solo }
      enter({ seq = number, kind = each.kind, queue = each.queue, priority = each.priority, d = d })
      answers[#answers + 1] = { place, 0, d.s, NOW, due or '' }
    end
  end
end
many('HSET', IDS, places)
many('HSET', JOB, jobs)
for key, line in pairs(lines) do many('ZADD', key, line) end
for queue, number in pairs(queued) do count(queue, 'q', number) end
tell()
return { fresh, NOW, answers, made }
