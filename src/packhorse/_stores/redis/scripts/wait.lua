-- I wait from now on: answers the numbers that grow with every change.
local id = ARGV[3]
local known = head[3]
if not known then
  call('HSET', NS, 'waiting', id)
elseif not string.find(' ' .. known .. ' ', ' ' .. id .. ' ', 1, true) then
  call('HSET', NS, 'waiting', known .. ' ' .. id)
end
local numbers = call('HMGET', NS, 'seq', 'v')
return fmt('%.0f', numbers[1] + numbers[2])
