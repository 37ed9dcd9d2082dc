-- Numbers of all jobs that are queued in some lines ("q", from ARGV[5] the lines), or running ("r").
local found = {}
if ARGV[4] == 'r' then
  for _, worker in ipairs(call('SMEMBERS', NS .. ':holders')) do
    for _, seq in ipairs(call('SMEMBERS', NS .. ':held:' .. worker)) do found[#found + 1] = seq end
  end
else
  for place = 5, #ARGV do
    for priority in string.gmatch(call('HGET', NAMES, 'l' .. ARGV[place]) or '', '%S+') do
      for _, seq in ipairs(call('ZRANGE', NS .. ':ready:' .. priority .. ':' .. ARGV[place], 0, -1)) do
        found[#found + 1] = string.sub(seq, 1, 14)
      end
    end
  end
end
return found
