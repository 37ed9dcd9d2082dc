-- Which of these unique keys a job holds. ARGV: from 4 the keys. Answers their places, from 0.
local found = {}
for place = 4, #ARGV do
  if holder_of(ARGV[place]) then found[#found + 1] = place - 4 end
end
return found
