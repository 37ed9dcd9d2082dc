-- Declare a worker dead if it has not beaten since. ARGV: 4 id, 5 beats, 6 "1": proved by its lock. Answers whether it is, and whether that is news.
local key = NS .. ':worker:' .. ARGV[4]
local row = call('HMGET', key, 'state', 'beats', 'name')
if not row[1] or tonumber(row[2]) ~= tonumber(ARGV[5]) then return { 0, 0 } end
if row[1] == 'dead' then
  if ARGV[6] == '1' then call('HSET', key, 'proved', 1) end
  return { 1, 0 }
end
call('HDEL', key, 'state')
call('HSET', key, 'state', 'dead')
if ARGV[6] == '1' then call('HSET', key, 'proved', 1) end
if call('HGET', NS .. ':named', row[3]) == ARGV[4] then call('HDEL', NS .. ':named', row[3]) end
changed()
return { 1, 1 }
