-- Make a worker known and live. ARGV: 4 id, 5 name, 6 host, 7 pid, 8 row (JSON), 9 catalogue, 10 info.
local NAMED, key = NS .. ':named', NS .. ':worker:' .. ARGV[4]
local other = call('HGET', NAMED, ARGV[5])
if other and other ~= ARGV[4] then
  local row = call('HMGET', NS .. ':worker:' .. other, 'state', 'pid', 'host')
  if row[1] and row[1] ~= 'dead' then return { 'taken', row[2], row[3] } end
end
local was = call('HMGET', key, 'state', 'name')
call('HDEL', key, 'row')
if was[2] and was[2] ~= ARGV[5] and call('HGET', NAMED, was[2]) == ARGV[4] then call('HDEL', NAMED, was[2]) end
if was[1] ~= 'dead' then call('HSET', NAMED, ARGV[5], ARGV[4]) end
call('HSET', key, 'name', ARGV[5], 'host', ARGV[6], 'pid', ARGV[7], 'row', ARGV[8], 'catalogue', ARGV[9], 'info', ARGV[10])
if not was[1] then
  local number = call('HINCRBY', NS, 'workers', 1)
  call('HSET', key, 'state', 'live', 'beats', 0, 'started', NOW, 'seen', NOW, 'number', number)
  call('SADD', NS .. ':workers', ARGV[4])
  call('SADD', NS .. ':holders', ARGV[4])
end
changed()
return { 1 }
