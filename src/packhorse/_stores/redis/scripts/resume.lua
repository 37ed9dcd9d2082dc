-- Let claims from a queue go on. ARGV: 4 queue.
if call('HDEL', NS .. ':paused', ARGV[4]) == 0 then return 0 end
call('ZREM', NS .. ':pause_ends', ARGV[4])
changed()
return 1
