-- One job at a time: read it, take it out of the indexes, put it back. After base.lua, where a verb needs it.
local STEP = 2592000000000 -- the default
local FINAL = { s = true, f = true, x = true }
local stirred = 0 -- 1: a waiting job may go now, or there is a new one
local relink -- rules.lua
local queues = {}

-- After how long a wait, µs, a job of a queue has overtaken one of a priority higher by 1. A job without a priority need not know.
local steps = {}
local function step_of(queue, priority)
  if priority == 0 then return STEP end
  if not steps[queue] then steps[queue] = tonumber(call('HGET', NS .. ':steps', queue) or STEP) end
  return steps[queue]
end

-- The number of a kind, which is new perhaps.
local function kind_number(queue, task)
  local name = queue .. SEP .. task
  local kind = call('HGET', NAMES, 'k' .. name)
  if not kind then
    kind = fmt('%.0f', call('HINCRBY', NAMES, 'kinds', 1))
    call('HSET', NAMES, 'k' .. name, kind, 'n' .. kind, name)
  end
  return kind
end

-- The queue and the task of a kind.
local function kind_of(kind)
  local found = queues[kind]
  if not found then
    local queue, task = string.match(call('HGET', NAMES, 'n' .. kind), '^([^\30]*)\30(.*)$')
    found = { queue = queue, task = task }
    queues[kind] = found
  end
  return found
end

-- What a job has become, as a table, whatever the form in which it is kept.
local function read_state(text, rank)
  if not text then return { s = 'q', rank = rank } end
  local first = string.byte(text)
  if first == 123 then return cjson.decode(text) end
  local token, worker, number, fence, rest = string.match(text, '^.([^\30]*)\30([^\30]*)\30([^\30]*)\30([^\30]*)(.*)$')
  local d = { s = string.char(first), tok = token, w = worker, fence = fence, rank = rank }
  if first == 114 then
    d.cn = tonumber(number)
    return d
  end
  local at, started, ended, result = string.match(rest, '^\30([^\30]*)\30([^\30]*)\30([^\30]*)\30(.*)$')
  if started ~= '' then d.st = fmt('%.0f', at - started) end
  d.fin = fmt('%.0f', at - ended)
  if result ~= '' then d.res = result end
  return d
end

-- A stored job: what was given, in parts, and what it has become (d); nil if there is none.
local function load(seq)
  local given = call('HGET', JOB, seq)
  if not given then return nil end
  local created, kind, priority, id = string.match(given, '^(%d+)\30(%d+)\30(-?%d+)\30([^\30]*)')
  local job = { seq = seq, id = id, kind = kind, priority = tonumber(priority), created = created, given = given }
  local of = kind_of(kind)
  job.queue, job.task = of.queue, of.task
  local text = call('HGET', STATE, seq)
  job.odd = text ~= false
  job.d = read_state(text, fmt('%.0f', created - job.priority * STEP))
  return job
end

-- The field of what was given after the payload: 1 by, 2 options, 3 tags, 4 meta, 5 parent, 6 rules.
local function given(job, place)
  local found, number = nil, -4
  for part in string.gmatch(job.given .. SEP, '([^\30]*)\30') do
    if number == place then found = part end
    number = number + 1
  end
  return found ~= '' and found or nil
end

local function line_of(job) return job.d.line or job.queue end

-- In a line's order, a job of which more is stored than what was given is marked, so that a claim need not ask for the others.
local function member(job) return job.odd and job.seq .. '+' or job.seq end

local function ready_key(job, line) return NS .. ':ready:' .. fmt('%.0f', job.priority) .. ':' .. line end

-- Jobs that rest in a state are kept by kind, in sets of 512 numbers each, and the sets in an order of their own.
local function chunk_of(seq)
  local number = tonumber(seq)
  return fmt('%.0f', math.floor(number / 512)), number % 512
end

local function place_of(job, state)
  return NS .. ':ix:' .. job.kind .. ':' .. state, chunk_of(job.seq)
end

local function index(job, state)
  local key, chunk, number = place_of(job, state)
  call('SADD', key .. ':' .. chunk, number)
  call('ZADD', key, chunk, chunk)
end

local function unindex(job, state)
  local key, chunk, number = place_of(job, state)
  call('SREM', key .. ':' .. chunk, number)
  if call('EXISTS', key .. ':' .. chunk) == 0 then call('ZREM', key, chunk) end
end

-- Take a job out of every index that it stands in. Begins with a removal, so that what follows works when memory is full.
local function leave(job)
  local d, seq = job.d, job.seq
  local s = d.s
  if d.R or d.k then job.was = { s = s, wt = d.wt, gu = d.gu, queue = job.queue } end
  if s == 'q' then
    call('ZREM', ready_key(job, line_of(job)), member(job))
  elseif s == 'r' then
    call('SREM', NS .. ':held:' .. d.w, seq)
  else
    unindex(job, s)
    if s == 'c' or s == 'y' then
      call('ZREM', NS .. ':due', seq)
    elseif s == 'b' then
      call('SREM', NS .. ':blocked:' .. line_of(job), seq)
    end
  end
  if d.exp then call('ZREM', NS .. ':expiring', seq) end
  if d.ru then call('ZREM', NS .. ':results', seq) end
  count(job.queue, s, -1)
end

-- A line has jobs of this priority.
local function know_line(line, priority)
  local known = call('HGET', NAMES, 'l' .. line)
  local word = ' ' .. fmt('%.0f', priority) .. ' '
  if not known then
    call('HSET', NAMES, 'l' .. line, word)
  elseif not string.find(known, word, 1, true) then
    call('HSET', NAMES, 'l' .. line, known .. string.sub(word, 2))
  end
end

-- Put a job into the indexes of what it is now, and store what it is.
local function enter(job)
  local d, seq = job.d, job.seq
  local s, line = d.s, line_of(job)
  job.odd = true
  if d.R then
    if s ~= 'b' then d.wt = nil end
    if d.uk and FINAL[s] and not d.ut and not d.uf then
      call('HDEL', NS .. ':unique', d.uk)
      d.uk = nil
    end
  end
  if s == 'q' then
    know_line(line, job.priority)
    call('ZADD', ready_key(job, line), d.rank, member(job))
  elseif s == 'r' then
    call('SADD', NS .. ':held:' .. d.w, seq)
    call('SADD', NS .. ':holders', d.w)
  else
    index(job, s)
    if s == 'c' or s == 'y' then
      call('ZADD', NS .. ':due', d.due, seq)
    elseif s == 'b' then
      if not d.wt or line ~= job.queue then call('SADD', NS .. ':blocked:' .. line, seq) end
    else
      call('RPUSH', NS .. ':ended:' .. s, seq)
    end
  end
  if (s == 'q' or s == 'b') and line ~= job.queue then call('SADD', NS .. ':side', line) end
  if d.exp and (s == 'q' or s == 'c' or s == 'y' or s == 'b') then call('ZADD', NS .. ':expiring', d.exp, seq) end
  if d.res and d.ru then call('ZADD', NS .. ':results', d.ru, seq) end
  count(job.queue, s, 1)
  call('HSET', STATE, seq, cjson.encode(d))
  if d.R or d.k then relink(job, job.was) end
end

-- Delete a job with all that belongs to it. "again": it is stored anew at once.
local function drop(job, again)
  leave(job)
  if job.was then relink(job, job.was, true, again) end
  call('HDEL', JOB, job.seq)
  call('HDEL', STATE, job.seq)
  call('HDEL', IDS, job.id)
  call('DEL', NS .. ':attempts:' .. job.seq)
  call('DEL', NS .. ':logs:' .. job.seq)
end

-- The ended run with this token, and its place; nil if none was written.
local function attempt(job, token)
  local rows = call('LRANGE', NS .. ':attempts:' .. job.seq, 0, -1)
  for place = #rows, 1, -1 do
    local row = cjson.decode(rows[place])
    if row.token == token then return row, place - 1 end
  end
end

-- Write down one ended run.
local function write_attempt(job, row)
  local d = job.d
  row.generation, row.worker = d.g or 0, d.w
  row.number = 1 + (d.f or 0) + (d.c or 0) + (d.l or 0)
  row.host = d.w and call('HGET', NS .. ':worker:' .. d.w, 'host') or nil
  call('RPUSH', NS .. ':attempts:' .. job.seq, cjson.encode(row))
end

-- Keep the log of one attempt; logs come in the order of their first words.
local function write_log(job, token, text, dropped)
  if not text then return end
  local key = NS .. ':logs:' .. job.seq
  local known = call('HGET', key, '#' .. token)
  local place = known and string.match(known, '^%d+') or call('HLEN', key)
  call('HSET', key, '#' .. token, place .. ' ' .. fmt('%.0f', dropped), token, text)
end
