-- Jobs by id: number, given part, state of each, in the order asked. ARGV: from 4 the ids.
local ids, found = {}, {}
for place = 4, #ARGV do ids[place - 3] = ARGV[place] end
for _, place in ipairs(fields(IDS, ids)) do
  if place then
    local seq = string.sub(place, 1, 14)
    found[#found + 1] = seq
    found[#found + 1] = call('HGET', JOB, seq)
    found[#found + 1] = call('HGET', STATE, seq) or ''
  end
end
return found
