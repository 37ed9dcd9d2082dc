-- Numbers of the jobs that rest in a state, newest or oldest first, kind by kind. ARGV: 4 state, 5 "down" or "up", 6 start
-- (excluded), 7 at least so many of each kind, then the kinds; or, with "flow" and how they have ended as the state, the flows. Answers for each whether that were all, and the numbers.
local state, down, start, wanted = ARGV[4], ARGV[5] == 'down', tonumber(ARGV[6]), tonumber(ARGV[7])
local from, answer = fmt('%.0f', math.floor(start / 512)), {}
local class = string.match(state, '^flow(.)$')
for place = 8, #ARGV do
  local name, found, offset, all = ARGV[place], {}, 0, 1
  local key = class and NS .. ':flow:' .. class .. ':' .. name or NS .. ':ix:' .. name .. ':' .. state
  while true do
    local chunk
    if down then
      chunk = call('ZREVRANGEBYSCORE', key, from, '-inf', 'LIMIT', offset, 1)[1]
    else
      chunk = call('ZRANGEBYSCORE', key, from, '+inf', 'LIMIT', offset, 1)[1]
    end
    if not chunk then break end
    if #found >= wanted then
      all = 0
      break
    end
    local part = class and NS .. ':part:' .. class .. ':' .. chunk .. ':' .. name or key .. ':' .. chunk
    for _, number in ipairs(call('SMEMBERS', part)) do
      local seq = chunk * 512 + number
      if (down and seq < start) or (not down and seq > start) then found[#found + 1] = fmt('%.0f', seq) end
    end
    offset = offset + 1
  end
  answer[#answer + 1] = { all, found }
end
return answer
