-- Make the namespace, unless it is there. ARGV: 1 its new identity and format, 2 the number before the first job's.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'is', ARGV[1], 'seq', ARGV[2], 'v', 0)
end
return redis.call('HGET', KEYS[1], 'is')
