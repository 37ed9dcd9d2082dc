-- Make those run again that gave up because of jobs that run again, a part of them. ARGV: 4 look at so many. Answers whether there
-- may be more. In turns, each a step away from the jobs that were requeued: first all are gathered of a list of these (an entry
-- is an id, and the number up to which its own were gathered), then they are put back by number, which fills the list anew. One that
-- another job keeps out by its unique key stays as it is.
local LIST, GATHERED, wanted, touched = NS .. ':revive', NS .. ':reviving', tonumber(ARGV[4]), false
local left = wanted

local function gather(entry)
  call('LTRIM', LIST, 1, -1)
  local id, from = string.match(entry, '^([^\30]*)\30?(.*)$')
  local seqs = call('ZRANGEBYSCORE', NS .. ':gave_up:' .. id, '(' .. (from ~= '' and from or 0), '+inf', 'LIMIT', 0, left)
  local words = {}
  for place, seq in ipairs(seqs) do words[2 * place - 1], words[2 * place] = seq, seq end
  many('ZADD', GATHERED, words)
  if #seqs == left then call('LPUSH', LIST, id .. SEP .. seqs[left]) end
  left = left - #seqs - 1
end

local function put_back_some()
  local seqs = call('ZRANGE', GATHERED, 0, left - 1)
  many('ZREM', GATHERED, seqs)
  for _, seq in ipairs(seqs) do
    local job = load(seq)
    if job and job.d.gu and FINAL[job.d.s] then touched = put_back(job) or touched end
  end
  left = left - #seqs
end

while left > 0 do
  local entry = call('LRANGE', LIST, 0, 0)[1]
  local begun = call('HEXISTS', NS, 'reviving') == 1
  if entry and not begun then
    gather(entry)
  elseif call('EXISTS', GATHERED) == 1 then
    put_back_some() -- begins with a removal
    if not begun then call('HSET', NS, 'reviving', 1) end
  elseif begun then
    call('HDEL', NS, 'reviving')
  else
    break
  end
end
if touched then changed() end
return { touched and 1 or 0, stirred, call('EXISTS', LIST, GATHERED), wanted - left }
