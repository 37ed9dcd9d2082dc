-- Set how much waiting, µs, outweighs one step of priority in a queue. ARGV: 4 queue, 5 the step, "" for the default.
local key, queue, step = NS .. ':steps', ARGV[4], ARGV[5]
if (call('HGET', key, queue) or '') == step then return 0 end
if step == '' then call('HDEL', key, queue) else call('HSET', key, queue, step) end
call('HINCRBY', COUNTS, queue .. SEP .. 'q', 0)
changed()
return 1
