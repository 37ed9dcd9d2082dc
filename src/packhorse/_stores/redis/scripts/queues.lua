-- All counters, all pauses, and for each queue that has queued jobs the ready time of the oldest.
local oldest = {}
local function look(queue, line)
  for priority in string.gmatch(call('HGET', NAMES, 'l' .. line) or '', '%S+') do
    local one = call('ZRANGE', NS .. ':ready:' .. priority .. ':' .. line, 0, 0, 'WITHSCORES')
    if one[1] then
      local ready = one[2] + priority * STEP
      oldest[queue] = math.min(oldest[queue] or ready, ready)
    end
  end
end
local busy, found = {}, {}
for _, queue in ipairs(call('SMEMBERS', NS .. ':busy')) do
  busy[queue] = true
  look(queue, queue)
end
for _, line in ipairs(call('SMEMBERS', NS .. ':side')) do
  local queue = string.match(line, '^([^#]*)#')
  if busy[queue] then look(queue, line) end
end
for queue, ready in pairs(oldest) do
  found[#found + 1] = queue
  found[#found + 1] = fmt('%.0f', ready)
end
return { call('HGETALL', COUNTS), call('HGETALL', NS .. ':paused'), found }
