-- Flows: name, created at, tally of each. ARGV: 4 at most so many, 5 after this one ("": from the newest), 6 "named", then the names.
local FLOWS, names = NS .. ':flows', {}
local start = 0
if ARGV[5] ~= '' then
  local place = call('ZREVRANK', FLOWS, ARGV[5])
  if not place then return {} end
  start = place + 1
end
if ARGV[6] == 'named' then
  local places = {}
  for place = 7, #ARGV do
    local at = call('ZREVRANK', FLOWS, ARGV[place])
    if at and at >= start and not places[ARGV[place]] then
      places[ARGV[place]] = at
      names[#names + 1] = ARGV[place]
    end
  end
  table.sort(names, function(a, b) return places[a] < places[b] end)
else
  names = call('ZREVRANGE', FLOWS, start, start + ARGV[4] - 1)
end
local found = {}
for place = 1, math.min(#names, tonumber(ARGV[4])) do
  found[place] = { names[place], call('ZSCORE', FLOWS, names[place]), call('HGETALL', NS .. ':tally:' .. names[place]) }
end
return found
