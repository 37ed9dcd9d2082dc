-- What follows from a change of a job that has rules, a flow or a unique key (d.R), or that others wait for (d.k).
local WAITING = { c = true, b = true, q = true, y = true }

-- The rules as they were given: h holds, a after, af after_flow, ff after_failed, fl flow, u unique key, uu its scope.
local function rules_of(job)
  local found = job.rules
  if not found then
    found = job.d.R and cjson.decode(string.match(job.given, '[^\30]*$')) or {}
    job.rules = found
  end
  return found
end

-- What a job must hold. One that must hold nothing stands in a line of no name, in which nobody is in the way.
local NOTHING = { { 's', '' } }
local function holds_of(job) return rules_of(job).h or NOTHING end

-- Where those stand who want a name so, in the order of their places, queue by queue: a queue that is closed counts for nothing.
local function tail_of(job, hold, queue) return hold[1] .. ':' .. (queue or job.queue) .. SEP .. hold[2] end

local function free(name)
  if call('EXISTS', NS .. ':lines:' .. name) == 1 then call('SADD', NS .. ':freed', name) end
  stirred = 1
end

local function into_lines(job)
  local queue = job.queue
  for _, hold in ipairs(holds_of(job)) do
    local key = NS .. ':line:' .. tail_of(job, hold)
    call('ZADD', key, job.d.pl, job.seq)
    if call('ZCARD', key) == 1 then
      call('SADD', NS .. ':lines:' .. hold[2], hold[1] .. queue)
      call('SADD', NS .. ':lines_of:' .. queue, hold[1] .. hold[2])
      call('SADD', NS .. ':lined', queue)
    end
  end
end

-- Take a job out of its lines, those of the queue in which it was; "quiet": nobody can go because of that.
local function out_of_lines(job, queue, quiet)
  local was = false
  for _, hold in ipairs(holds_of(job)) do
    local tail = tail_of(job, hold, queue)
    if call('ZREM', NS .. ':line:' .. tail, job.seq) == 1 then
      was = true
      call('ZREM', NS .. ':stuck:' .. tail, job.seq)
      if hold[1] == 'l' then call('ZREM', NS .. ':stuck:r:' .. queue .. SEP .. hold[2], job.seq) end
      if call('EXISTS', NS .. ':line:' .. tail) == 0 then
        call('SREM', NS .. ':lines:' .. hold[2], hold[1] .. queue)
        call('SREM', NS .. ':lines_of:' .. queue, hold[1] .. hold[2])
        if call('EXISTS', NS .. ':lines_of:' .. queue) == 0 then call('SREM', NS .. ':lined', queue) end
      end
      if not quiet then free(hold[2]) end
    end
  end
  return was
end

-- Others wait for this one, or did: so much must be known when it ends, is put back or is deleted.
local marked = {}
local function mark(id)
  if marked[id] then return end
  marked[id] = true
  local stored = call('HGET', IDS, id)
  local parent = stored and load(string.sub(stored, 1, 14))
  if not parent or parent.d.k then return end
  local d = parent.d
  d.k = 1
  if d.s == 'q' and not parent.odd then
    local key = ready_key(parent, line_of(parent))
    call('ZREM', key, parent.seq)
    call('ZADD', key, d.rank, parent.seq .. '+')
  end
  call('HSET', STATE, parent.seq, cjson.encode(d))
end

-- Note that those who wait for a job or a flow have to be looked at.
local function news(of, key)
  if call('EXISTS', key) == 1 then
    call('ZADD', NS .. ':news', 0, of)
    stirred = 1
  end
end

local function edges(job, command)
  local rules = rules_of(job)
  for _, parent in ipairs(rules.a or {}) do
    local key = NS .. ':after:' .. parent
    if command == 'ZREM' then
      call('ZREM', key, job.seq)
    else
      call('ZADD', key, job.seq, job.seq)
      mark(parent)
    end
  end
  if rules.af then
    local key = NS .. ':after_flow:' .. rules.af
    if command == 'ZREM' then call('ZREM', key, job.seq) else call('ZADD', key, job.seq, job.seq) end
  end
end

-- The members of a flow are kept by how they have ended, "u" those that have not, in sets of 512 numbers each.
local function class_of(state) return state and (FINAL[state] and state or 'u') end

local function in_flow(flow, class, job, command)
  local chunk, number = chunk_of(job.seq)
  local part, order = NS .. ':part:' .. class .. ':' .. chunk .. ':' .. flow, NS .. ':flow:' .. class .. ':' .. flow
  call(command == 'ZREM' and 'SREM' or 'SADD', part, number)
  if command == 'ZADD' then
    call('ZADD', order, chunk, chunk)
  elseif call('EXISTS', part) == 0 then
    call('ZREM', order, chunk)
  end
end

local function begin_flow(flow, job)
  local at = call('ZSCORE', NS .. ':flows', flow)
  if not at or tonumber(job.created) < tonumber(at) then call('ZADD', NS .. ':flows', job.created, flow) end
end

-- Count a member of a flow in its new state. "open" counts those that have not ended and do not wait for the flow themselves.
local function move_in_flow(flow, job, from, to, again)
  local tally, other = NS .. ':tally:' .. flow, rules_of(job).af ~= flow
  local a, b = class_of(from), class_of(to)
  if from then call('HINCRBY', tally, from, -1) end
  if to then call('HINCRBY', tally, to, 1) end
  if a ~= b then
    if a then in_flow(flow, a, job, 'ZREM') end
    if b then in_flow(flow, b, job, 'ZADD') end
    if other then
      local lost = NS .. ':lost:' .. flow
      if a == 'f' or a == 'x' then call('ZREM', lost, job.seq) end
      if b == 'f' or b == 'x' then call('ZADD', lost, job.seq, job.seq) end
      local followers = NS .. ':after_flow:' .. flow
      if a == 'u' and call('HINCRBY', tally, 'open', -1) == 0 then news('f' .. flow, followers) end
      if b == 'u' and call('HINCRBY', tally, 'open', 1) == 1 then news('f' .. flow, followers) end
      if a == 'u' and call('EXISTS', followers) == 1 then stirred = 1 end
    end
  end
  if not from then
    call('HINCRBY', tally, 'n', 1)
    begin_flow(flow, job)
  end
  if job.d.fin and to then
    local last = call('HGET', tally, 'ended')
    if not last or tonumber(last) < tonumber(job.d.fin) then call('HSET', tally, 'ended', job.d.fin) end
  end
  if not to and call('HINCRBY', tally, 'n', -1) == 0 and not again then
    call('DEL', tally)
    call('ZREM', NS .. ':flows', flow)
  end
end

local function give_up_holds(job)
  for _, hold in ipairs(rules_of(job).h) do
    call('ZREM', NS .. ':has:' .. hold[1] .. ':' .. hold[2], job.seq)
    free(hold[2])
  end
end

local function has_holds(state) return state == 'q' or state == 'r' end

-- Bring everything in order that follows from a job's state, and from what it was before (nil: it is new).
relink = function(job, was, gone, again)
  local d, seq = job.d, job.seq
  local from, to = was and was.s, not gone and d.s or nil
  local ended, ends = not from or FINAL[from], not to or FINAL[to]
  job.was = nil
  if d.R then
    if was and was.wt then
      call('ZREM', NS .. ':fresh', seq)
      call('ZREM', NS .. ':back', seq)
      call('ZREM', NS .. ':shut:' .. was.queue, seq)
      if d.pl then out_of_lines(job, was.queue, job.quiet) end
      call('HINCRBY', NS, 'waits', -1)
    end
    if d.h and has_holds(from) and not has_holds(to) then give_up_holds(job) end
    if was and was.gu and was.gu ~= (to and d.gu) then call('ZREM', NS .. ':gave_up:' .. was.gu, seq) end
    if d.aw and ends and not ended then edges(job, 'ZREM') end
    if d.uk and gone and call('HGET', NS .. ':unique', d.uk) == seq then call('HDEL', NS .. ':unique', d.uk) end
    if d.fl then move_in_flow(d.fl, job, from, to, again) end
    if d.aw and ended and not ends then edges(job, 'ZADD') end
    if to and d.gu then call('ZADD', NS .. ':gave_up:' .. d.gu, seq, seq) end
    if d.h and has_holds(to) and not has_holds(from) then
      for _, hold in ipairs(rules_of(job).h) do call('ZADD', NS .. ':has:' .. hold[1] .. ':' .. hold[2], seq, seq) end
    end
    if to and d.wt then
      call('HINCRBY', NS, 'waits', 1)
      call('ZADD', NS .. (d.pl and ':back' or ':fresh'), seq, seq)
      stirred = 1
    end
  end
  if d.k and (not ended) ~= (not ends) then news('p' .. job.id, NS .. ':after:' .. job.id) end
end

-- Tell whether a member of a flow has not ended.
local function goes_on(flow)
  local open = flow and call('HMGET', NS .. ':tally:' .. flow, 'q', 'r', 'c', 'y', 'b') or {}
  for _, number in ipairs(open) do
    if number and tonumber(number) > 0 then return true end
  end
  return false
end

-- Who holds a unique key, and one whose time or flow is over but who was not told so yet.
local function holder_of(key)
  local seq = call('HGET', NS .. ':unique', key)
  local job = seq and load(seq)
  if not job then return nil, nil end
  if job.d.ut and tonumber(job.d.ue) <= now then return nil, job end
  if job.d.uf and FINAL[job.d.s] and not goes_on(job.d.fl) then return nil, job end
  return job, nil
end

local function let_go_of_key(job)
  job.d.uk = nil
  call('HSET', STATE, job.seq, cjson.encode(job.d))
end

-- What must be known of a job without reading its rules.
local function note_rules(d, rules)
  d.R, d.fl = 1, rules.fl
  for _, hold in ipairs(rules.h or {}) do d.h = (d.h == 'r' or hold[1] ~= 'l') and 'r' or 'l' end
  if rules.h or rules.a or rules.af then d.aw = 1 end
  if rules.uu == 'started' then d.us = 1 end
  if rules.uu == 'time' then d.ut = 1 end
  if rules.uu == 'flow' then d.uf = 1 end
end

-- Where a job goes that nothing but its rules keeps from running.
local function make_ready(d)
  d.s, d.wt = 'q', nil
  if d.aw then d.s, d.wt = 'b', 1 end
end

-- Tell whether a job that has not ended waits for this one, or for its flow.
local function is_waited_for(job)
  local d = job.d
  return d.k and call('EXISTS', NS .. ':after:' .. job.id) == 1
    or d.fl and call('EXISTS', NS .. ':after_flow:' .. d.fl) == 1
end
