-- A worker takes no more work. ARGV: 4 id.
local key = NS .. ':worker:' .. ARGV[4]
local state = call('HGET', key, 'state')
if not state or state == 'dead' then return 0 end
call('HDEL', key, 'state')
call('HSET', key, 'state', 'stopping')
return 1
