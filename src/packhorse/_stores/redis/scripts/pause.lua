-- Stop claims from a queue. ARGV: 4 queue, 5 by, 6 reason.
if call('HEXISTS', NS .. ':paused', ARGV[4]) == 1 then return 0 end
call('HSET', NS .. ':paused', ARGV[4], cjson.encode({ at = NOW, by = ARGV[5], reason = ARGV[6] }))
call('HINCRBY', COUNTS, ARGV[4] .. SEP .. 'q', 0)
changed()
return 1
