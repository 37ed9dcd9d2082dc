-- Jobs by number: number, given part, state of each that is stored, in the order asked. ARGV: from 4 the numbers; or, with
-- "down" or "up" first: start (excluded), how many numbers to look at.
local seqs, found = {}, {}
if ARGV[4] == 'down' or ARGV[4] == 'up' then
  local step = ARGV[4] == 'down' and -1 or 1
  for away = 1, tonumber(ARGV[6]) do seqs[away] = fmt('%.0f', ARGV[5] + step * away) end
else
  for place = 4, #ARGV do seqs[place - 3] = ARGV[place] end
end
local jobs, texts = fields(JOB, seqs), fields(STATE, seqs)
for place, seq in ipairs(seqs) do
  if jobs[place] then
    found[#found + 1] = seq
    found[#found + 1] = jobs[place]
    found[#found + 1] = texts[place] or ''
  end
end
return found
