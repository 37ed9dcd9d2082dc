-- Store new jobs of one known kind with nothing special: nearly all that are. ARGV: 4 queue, 5 kind, 6 priority, then id and
-- rest of each. Answers "other", having stored nothing, where one is known already.
if head[2] then return { 'closed', head[2] } end
local queue, priority = ARGV[4], ARGV[6]
local size = (#ARGV - 6) / 2
local kind = ARGV[5]
local prefix = NOW .. SEP .. kind .. SEP .. priority .. SEP
-- Where the queue has a step of its own, the rank is kept with the job: it does not follow from what was given.
local step = priority ~= '0' and call('HGET', NS .. ':steps', queue)
local rank = fmt('%.0f', now - priority * (step or 2592000000000))
local mark, state = step and '+' or '', '{"s":"q","rank":"' .. rank .. '"}'
local ready = NS .. ':ready:' .. priority .. ':' .. queue
if size == 1 then
  local id = ARGV[7]
  local number = fmt('%.0f', call('HINCRBY', NS, 'seq', 1))
  if call('HSETNX', IDS, id, number .. kind) == 0 then return { 'other' } end
  call('HSET', JOB, number, prefix .. id .. SEP .. ARGV[8])
  if step then call('HSET', STATE, number, state) end
  call('ZADD', ready, rank, number .. mark)
else
  local ids, seen = {}, {}
  for place = 1, size do
    local id = ARGV[5 + 2 * place]
    if seen[id] then return { 'other' } end
    seen[id] = true
    ids[place] = id
  end
  for _, stored in ipairs(fields(IDS, ids)) do
    if stored then return { 'other' } end
  end
  local seq = call('HINCRBY', NS, 'seq', size) - size
  local places, jobs, line = {}, {}, {}
  for place = 1, size do
    local id, number, at = ids[place], fmt('%.0f', seq + place), 2 * place
    places[at - 1], places[at] = id, number .. kind
    jobs[at - 1], jobs[at] = number, prefix .. id .. SEP .. ARGV[6 + at]
    line[at - 1], line[at] = rank, number
  end
  many('HSET', IDS, places)
  many('HSET', JOB, jobs)
  if step then
    local states = {}
    for at = 2, #line, 2 do
      states[at - 1], states[at], line[at] = line[at], state, line[at] .. mark
    end
    many('HSET', STATE, states)
  end
  many('ZADD', ready, line)
end
count(queue, 'q', size)
tell()
return NOW
