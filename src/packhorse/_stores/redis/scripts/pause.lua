-- Stop claims from a queue. ARGV: 4 queue, 5 by, 6 reason, 7 for so many µs, 8 until (wins); "" for both: no end. Answers whether
-- it was not paused before; -1 and the time, having done nothing: the end is past.
local PAUSED, ENDS, queue = NS .. ':paused', NS .. ':pause_ends', ARGV[4]
local till = tonumber(ARGV[8]) or tonumber(ARGV[7]) and now + ARGV[7]
if till and till <= now then return { -1, NOW } end
local known = call('HGET', PAUSED, queue)
local at = known and cjson.decode(known).at or NOW
till = till and fmt('%.0f', till)
call('ZREM', ENDS, queue)
call('HSET', PAUSED, queue, cjson.encode({ at = at, by = ARGV[5], reason = ARGV[6], till = till }))
if till then call('ZADD', ENDS, till, queue) end
call('HINCRBY', COUNTS, queue .. SEP .. 'q', 0)
changed()
return { known and 0 or 1 }
