-- Make those run again that gave up because of jobs that run again. ARGV: 4 look at so many. Answers whether there may be more.
-- An entry of the list is an id and the number up to which those were looked at that had given up because of it; one that another
-- job keeps out by its unique key stays as it is.
local LIST, wanted, touched = NS .. ':revive', tonumber(ARGV[4]), false
local left = wanted
while left > 0 do
  local entry = call('LRANGE', LIST, 0, 0)[1]
  if not entry then break end
  call('LTRIM', LIST, 1, -1)
  local id, from = string.match(entry, '^([^\30]*)\30?(.*)$')
  local seqs = call('ZRANGEBYSCORE', NS .. ':gave_up:' .. id, '(' .. (from ~= '' and from or 0), '+inf', 'LIMIT', 0, left)
  for _, seq in ipairs(seqs) do touched = put_back(load(seq)) or touched end
  if #seqs == left then call('LPUSH', LIST, id .. SEP .. seqs[left]) end
  left = left - #seqs - 1
end
if touched then changed() end
return { touched and 1 or 0, stirred, call('EXISTS', LIST), wanted - left }
