-- Count one beat and bring back orders. ARGV: 4 worker, 5 claim_no, then id, token of each job held.
local worker, completed = ARGV[4], tonumber(ARGV[5])
local WORKER = NS .. ':worker:' .. worker
local state = call('HGET', WORKER, 'state')
if not state or state == 'dead' then return { NOW, 0 } end
local ids, held = {}, {}
for place = 6, #ARGV, 2 do ids[#ids + 1] = ARGV[place] end
local stored = fields(IDS, ids)
for place = 1, #ids do
  stored[place] = stored[place] and string.sub(stored[place], 1, 14) or ''
  held[stored[place] .. ARGV[4 + 2 * place + 1]] = place
end
local mine = call('SMEMBERS', NS .. ':held:' .. worker)
table.sort(mine)
local texts = fields(STATE, mine)
local kept, cancelled, ghosts = {}, {}, {}
for place, seq in ipairs(mine) do
  local d = read_state(texts[place])
  local holds = held[seq .. d.tok]
  if holds then
    kept[holds] = true
    if d.ca then
      cancelled[#cancelled + 1] = holds - 1
      cancelled[#cancelled + 1] = d.cr or ''
    end
  elseif (d.cn or 0) <= completed then
    ghosts[#ghosts + 1] = seq
  end
end

call('HDEL', WORKER, 'seen')
call('HSET', WORKER, 'seen', NOW)
call('HINCRBY', WORKER, 'beats', 1)
for place, seq in ipairs(ghosts) do
  local job = load(seq)
  local d = job.d
  leave(job)
  d.st, d.cn = nil, nil
  if d.ca then
    d.s, d.fin, d.sus, d.reason = 'x', NOW, nil, d.cr
  else
    d.s = 'q'
  end
  d.cr = nil
  enter(job)
  ghosts[place] = job.id
end
if ghosts[1] then changed() end

local lost, lines = {}, {}
for place = 1, #ids do
  if not kept[place] then lost[#lost + 1] = place - 1 end
end
for _, line in ipairs(call('SMEMBERS', NS .. ':side')) do
  local waits = call('EXISTS', NS .. ':blocked:' .. line) == 1
  for priority in string.gmatch(call('HGET', NAMES, 'l' .. line) or '', '%S+') do
    waits = waits or call('EXISTS', NS .. ':ready:' .. priority .. ':' .. line) == 1
  end
  if waits then lines[#lines + 1] = line else call('SREM', NS .. ':side', line) end
end
return { NOW, 1, cancelled, ghosts, lost, lines, ghosts[1] and 1 or 0, stirred }
