-- Make those run again that gave up because of jobs that run again. ARGV: 4 at most so many. Answers whether there may be more.
local LIST, left, touched = NS .. ':revive', tonumber(ARGV[4]), false
while left > 0 do
  local id = call('LRANGE', LIST, 0, 0)[1]
  if not id then break end
  local key = NS .. ':gave_up:' .. id
  local seqs = call('ZRANGE', key, 0, left - 1)
  if not seqs[1] then
    call('LTRIM', LIST, 1, -1)
    left = left - 1
  end
  for _, seq in ipairs(seqs) do
    touched = put_back(load(seq)) or touched
    call('ZREM', key, seq) -- what could not be put back stays as it is
    left = left - 1
  end
end
if touched then changed() end
return { touched and 1 or 0, stirred, call('EXISTS', LIST) }
