-- The last ended run of each of many jobs, "" of one that has none. ARGV: from 4 the ids.
local ids, found = {}, {}
for place = 4, #ARGV do ids[place - 3] = ARGV[place] end
for place, stored in ipairs(fields(IDS, ids)) do
  found[place] = stored and call('LRANGE', NS .. ':attempts:' .. string.sub(stored, 1, 14), -1, -1)[1] or ''
end
return found
