-- Make the namespace, unless it is there; bring up one of an older format. ARGV: 1 its new identity and format, 2 the number before the
-- first job's, 3 the identity and format that it has.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'is', ARGV[1], 'seq', ARGV[2], 'v', 0)
elseif ARGV[3] and redis.call('HGET', KEYS[1], 'is') == ARGV[3] then
  redis.call('HSET', KEYS[1], 'is', ARGV[1])
end
return redis.call('HGET', KEYS[1], 'is')
