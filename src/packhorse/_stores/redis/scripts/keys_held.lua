-- Who holds these unique keys. ARGV: from 4 the keys. Answers the number of a job for each, or "".
local found = {}
for place = 4, #ARGV do
  local holder = holder_of(ARGV[place])
  found[#found + 1] = holder and holder.seq or ''
end
return found
