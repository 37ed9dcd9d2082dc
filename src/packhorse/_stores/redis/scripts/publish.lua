-- Replace what a live worker tells of itself. ARGV: 4 id, 5 catalogue, 6 info.
local key = NS .. ':worker:' .. ARGV[4]
local state = call('HGET', key, 'state')
if not state or state == 'dead' then return 0 end
call('HDEL', key, 'catalogue', 'info')
call('HSET', key, 'catalogue', ARGV[5], 'info', ARGV[6])
return 1
