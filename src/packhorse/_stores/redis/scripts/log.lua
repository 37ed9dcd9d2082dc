-- What the attempts of a job logged: fields and values. ARGV: 4 id.
local stored = call('HGET', IDS, ARGV[4])
if not stored then return {} end
return call('HGETALL', NS .. ':logs:' .. string.sub(stored, 1, 14))
