-- Which of these jobs a job names that has not ended. ARGV: from 4 the ids. Answers their places, from 0.
local found = {}
for place = 4, #ARGV do
  if call('EXISTS', NS .. ':after:' .. ARGV[place]) == 1 then found[#found + 1] = place - 4 end
end
return found
