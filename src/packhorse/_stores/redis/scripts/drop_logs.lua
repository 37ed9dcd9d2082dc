-- Drop the logs of what ended long ago. ARGV: 4 age in µs, 5 look at so many, then state and place of each kind of end.
-- Answers of how many jobs, and the places where to go on.
local before, done, places = now - tonumber(ARGV[4]), 0, {}
for word = 6, #ARGV, 2 do
  local key, from = NS .. ':ended:' .. ARGV[word], tonumber(ARGV[word + 1])
  local seqs = head[2] and {} or call('LRANGE', key, from, from + tonumber(ARGV[5]) - 1)
  for place, text in ipairs(fields(STATE, seqs)) do
    local d = text and read_state(text) or {}
    -- A place in the list may be that of an earlier end.
    if d.s == ARGV[word] and d.fin and tonumber(d.fin) < before then
      done = done + call('DEL', NS .. ':logs:' .. seqs[place])
    end
  end
  places[#places + 1] = #seqs == tonumber(ARGV[5]) and from + #seqs or 0
end
return { done, places }
