-- How many queued jobs of the same line stand before this queued one, expired ones left out. ARGV: 4 id, 5 count to so many.
local stored, limit = call('HGET', IDS, ARGV[4]), tonumber(ARGV[5])
local job = stored and load(string.sub(stored, 1, 14))
if not job or job.d.s ~= 'q' then return 0 end
local line, rank = line_of(job), tonumber(job.d.rank)
local before = 0
for priority in string.gmatch(call('HGET', NAMES, 'l' .. line), '%S+') do
  local key = NS .. ':ready:' .. priority .. ':' .. line
  if tonumber(priority) == job.priority then
    before = before + call('ZRANK', key, member(job))
  else
    before = before + call('ZCOUNT', key, '-inf', '(' .. job.d.rank)
    for _, seq in ipairs(call('ZRANGEBYSCORE', key, job.d.rank, job.d.rank, 'LIMIT', 0, limit)) do
      if string.sub(seq, 1, 14) < job.seq then before = before + 1 end
    end
  end
end
local function is_before(other)
  if other.d.s ~= 'q' or line_of(other) ~= line then return false end
  local at = tonumber(other.d.rank)
  return at < rank or (at == rank and other.seq < job.seq)
end
for _, seq in ipairs(call('ZRANGEBYSCORE', NS .. ':expiring', '-inf', NOW, 'LIMIT', 0, limit)) do
  if is_before(load(seq)) then before = before - 1 end
end
return math.min(before, limit)
