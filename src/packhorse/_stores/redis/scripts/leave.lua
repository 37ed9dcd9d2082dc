-- Forget a worker that has ended cleanly. ARGV: 4 id.
local key = NS .. ':worker:' .. ARGV[4]
local row = call('HMGET', key, 'state', 'name')
if not row[1] or row[1] == 'dead' then return 0 end
call('DEL', key)
call('SREM', NS .. ':workers', ARGV[4])
if call('HGET', NS .. ':named', row[2]) == ARGV[4] then call('HDEL', NS .. ':named', row[2]) end
changed()
return 1
