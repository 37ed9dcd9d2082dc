-- All counters, all pauses, for each queue that has queued jobs the ready time of the oldest, and all steps. Where the step is one
-- of the queue's own, ranks may come from another one: the time is an estimate then, in bounds at least.
local oldest = {}
local function look(queue, line)
  for priority in string.gmatch(call('HGET', NAMES, 'l' .. line) or '', '%S+') do
    local one = call('ZRANGE', NS .. ':ready:' .. priority .. ':' .. line, 0, 0, 'WITHSCORES')
    if one[1] then
      local ready, best = one[2] + priority * step_of(queue), oldest[queue]
      if not best or ready < best[1] or (ready == best[1] and one[1] < best[2]) then oldest[queue] = { ready, one[1] } end
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
for queue, best in pairs(oldest) do
  local ready = best[1]
  if step_of(queue) ~= STEP then ready = math.max(tonumber(load(string.sub(best[2], 1, 14)).created), math.min(ready, now)) end
  found[#found + 1] = queue
  found[#found + 1] = fmt('%.0f', ready)
end
return { call('HGETALL', COUNTS), call('HGETALL', NS .. ':paused'), found, call('HGETALL', NS .. ':steps') }
