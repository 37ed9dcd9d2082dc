-- Every worker: id and what is stored of it.
local found = {}
for _, worker in ipairs(call('SMEMBERS', NS .. ':workers')) do
  local row = call('HMGET', NS .. ':worker:' .. worker, 'state', 'beats', 'started', 'seen', 'number', 'row', 'catalogue', 'info', 'proved')
  row[10] = worker
  found[#found + 1] = row
end
return found
