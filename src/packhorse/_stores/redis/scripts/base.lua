-- The ground every verb stands on; put before each of them when it is loaded.
-- KEYS[1]: the namespace. ARGV[1]: its identity and format; ARGV[2]: the time, "" for the server's; ARGV[3]: my name as a waiter.
-- All other keys are made from KEYS[1]; docs/internals/redis.md lists them.
if redis.replicate_commands then redis.replicate_commands() end
local call, fmt, SEP, NS = redis.call, string.format, '\30', KEYS[1]
local head = call('HMGET', NS, 'is', 'closed', 'waiting')
if head[1] ~= ARGV[1] then return redis.error_reply('GONE this is not the namespace that was opened') end
local now = tonumber(ARGV[2])
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local NOW = fmt('%.0f', now)
local IDS, JOB, STATE = NS .. ':ids', NS .. ':job', NS .. ':state'
local NAMES, COUNTS = NS .. ':names', NS .. ':counts'

-- Hint to all who wait, but not to me.
local function tell()
  if not head[3] then return end
  local numbers = call('HMGET', NS, 'seq', 'v')
  local total, me = fmt('%.0f', numbers[1] + numbers[2]), nil
  call('HDEL', NS, 'waiting')
  for id in string.gmatch(head[3], '%S+') do
    if id == ARGV[3] then
      me = id
    else
      local key = NS .. ':wake:' .. id
      call('RPUSH', key, total)
      call('EXPIRE', key, 10)
    end
  end
  if me then call('HSET', NS, 'waiting', me) end
end

-- Something has changed that others may want to see.
local function changed()
  call('HINCRBY', NS, 'v', 1)
  tell()
end

-- Count jobs of a queue in a state; know which queues have queued ones.
local function count(queue, state, by)
  local left = call('HINCRBY', COUNTS, queue .. SEP .. state, by)
  if state == 'q' then
    if left == 0 then call('SREM', NS .. ':busy', queue) end
    if left == by then call('SADD', NS .. ':busy', queue) end
  end
end

-- Call a command with a long list of arguments, a thousand at a time.
local function many(command, key, list)
  for first = 1, #list, 1000 do
    call(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
end

-- Read fields of a hash, however many.
local function fields(key, list)
  local size = #list
  if size <= 1000 then return size > 0 and call('HMGET', key, unpack(list)) or {} end
  local found = {}
  for first = 1, size, 1000 do
    local part = call('HMGET', key, unpack(list, first, math.min(first + 999, size)))
    for place = 1, #part do found[first + place - 1] = part[place] end
  end
  return found
end
