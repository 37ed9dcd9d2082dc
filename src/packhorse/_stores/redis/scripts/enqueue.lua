-- Store jobs, all or none. From ARGV[4]: id, spec, rest of each. spec is JSON: queue, task, priority, delay, at, expires,
-- expires_at, solo (times in µs, absolute ones as text), R (it has rules: the last field of the rest), on_conflict, for (so long it
-- holds its key); "" means that of the job before.
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

-- Read and check: first what is known already.
local stored = fields(IDS, ids)
local known, first, answers, fresh = {}, {}, {}, 0
local function content(place)
  return specs[place].queue .. SEP .. specs[place].task .. SEP .. string.match(ARGV[3 * place + 3], '^[^\30]*')
end
for place = 1, size do
  local id = ids[place]
  if stored[place] then
    local job = load(string.sub(stored[place], 1, 14))
    local payload = string.match(job.given, '^[^\30]*\30[^\30]*\30[^\30]*\30[^\30]*\30([^\30]*)')
    if job.queue .. SEP .. job.task .. SEP .. payload ~= content(place) then return { 'conflict', id } end
    known[place] = job
  elseif first[id] then
    if content(first[id]) ~= content(place) then return { 'conflict', id } end
  else
    first[id] = place
  end
end

-- Then what becomes of each, in order. mine: id → place of one that is stored now; owners: key → place of one that is to have it.
local mine, rules, replaces, expired, owners, replaced, parents = {}, {}, {}, {}, {}, {}, {}
local function answer(place, job)
  answers[#answers + 1] = { place, 1, replaced[job.seq] and 'x' or job.d.s, job.created, job.d.sch or '', job.id }
end
local function decide(place, each)
  local id = ids[place]
  local found = cjson.decode(string.match(ARGV[3 * place + 3], '[^\30]*$'))
  if found.a then
    local there = fields(IDS, found.a)
    for number, parent in ipairs(found.a) do
      if mine[parent] then parents[parent] = true elseif not there[number] then return { 'parent', id, parent } end
    end
  end
  if found.u then
    local owner, over
    local own = owners[found.u]
    if not own then owner, over = holder_of(found.u) end
    if own or owner then
      if each.on_conflict == 'raise' then return { 'held', found.u, own and ids[own] or owner.id } end
      if each.on_conflict == 'replace' and (own or WAITING[owner.d.s]) then
        replaces[place] = own or owner.seq
        replaced[own or owner.seq] = true
      elseif own then
        answers[#answers + 1] = { place, 1, -own, '', '' }
        return nil
      else
        answer(place, owner)
        return nil
      end
    end
    expired[place] = over
    owners[found.u] = place
  end
  rules[place] = found
  mine[id] = place
  fresh = fresh + 1
  return nil
end
for place = 1, size do
  local id, each = ids[place], specs[place]
  if known[place] then
    answer(place, known[place])
  elseif mine[id] then
    answers[#answers + 1] = { place, 1, -mine[id], replaced[mine[id]] and 'x' or '', '' }
  elseif each.R then
    local refused = decide(place, each)
    if refused then return refused end
  else
    mine[id] = place
    fresh = fresh + 1
  end
end
if fresh == 0 then return { 0, NOW, answers, {}, 0 } end

-- Write: from here on nothing may fail.
local last = call('HINCRBY', NS, 'seq', fresh)
local seq, made = last - fresh, {}
for _, each in pairs(texts) do
  local name = each.queue .. SEP .. each.task
  local kind = kinds[name]
  if not kind then
    kind = kind_number(each.queue, each.task)
    kinds[name] = kind
  end
  know_line(each.queue, each.priority)
  each.kind = kind
  made[#made + 1] = { each.queue, each.task, fmt('%.0f', each.priority), kind }
  each.step = step_of(each.queue, each.priority)
  each.plain = not (each.at or each.delay or each.expires or each.expires_at or each.solo or each.R) and each.step == STEP
  each.prefix = NOW .. SEP .. kind .. SEP .. fmt('%.0f', each.priority) .. SEP
  each.rank = fmt('%.0f', now - each.priority * STEP)
  each.key = NS .. ':ready:' .. fmt('%.0f', each.priority) .. ':' .. each.queue
end
local places, jobs, lines, queued, odd = {}, {}, {}, {}, {}
for place = 1, size do
  local id = ids[place]
  if mine[id] == place then
    local each, number = specs[place], fmt('%.0f', seq + 1)
    seq = seq + 1
    places[#places + 1] = id
    places[#places + 1] = number .. each.kind
    jobs[#jobs + 1] = number
    jobs[#jobs + 1] = each.prefix .. id .. SEP .. ARGV[3 * place + 3]
    if each.plain and not parents[id] then
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
      local rank = fmt('%.0f', (later and ready or now) - each.priority * each.step)
      local expires = each.expires_at or each.expires and fmt('%.0f', now + each.expires) or nil
      local d = { rank = rank, due = due, sch = due, exp = expires, solo = each.solo, k = parents[id] and 1 or nil }
      if each.R then
        note_rules(d, rules[place])
        d.uk = rules[place].u
        if d.ut then d.ue = fmt('%.0f', now + each['for']) end
      end
      if later then d.s = 'c' else make_ready(d) end
      odd[#odd + 1] = place
      first[place] = {
        seq = number, id = id, kind = each.kind, queue = each.queue, task = each.task, priority = each.priority,
        created = NOW, rules = rules[place], d = d,
      }
      answers[#answers + 1] = { place, 0, d.s, NOW, due or '' }
    end
  end
end
many('HSET', IDS, places)
many('HSET', JOB, jobs)
for key, line in pairs(lines) do many('ZADD', key, line) end
for queue, number in pairs(queued) do count(queue, 'q', number) end
local function replace(place, by)
  local old = first[place] or load(place)
  leave(old)
  local d = old.d
  d.s, d.fin, d.due, d.sus, d.uk, d.reason = 'x', NOW, nil, nil, nil, 'replaced by ' .. by
  enter(old)
end
for _, place in ipairs(odd) do
  local job = first[place]
  if replaces[place] then replace(replaces[place], job.id) end
  if expired[place] then let_go_of_key(load(expired[place].seq)) end
  if job.d.uk then call('HSET', NS .. ':unique', job.d.uk, job.seq) end
  enter(job)
end
tell()
return { fresh, NOW, answers, made, stirred }
