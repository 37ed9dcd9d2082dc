-- How many hold each of these names: in each mode. ARGV: from 4 the names.
local found = {}
for place = 4, #ARGV do
  local counts = {}
  for number, mode in ipairs({ 'x', 's', 'l' }) do counts[number] = call('ZCARD', NS .. ':has:' .. mode .. ':' .. ARGV[place]) end
  found[place - 3] = counts
end
return found
