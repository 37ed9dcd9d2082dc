-- Running jobs whose worker is dead or has no row: worker, host, job's given part and state of each. ARGV: 4 at most so many.
local limit, found = tonumber(ARGV[4]), {}
local holders = call('SMEMBERS', NS .. ':holders')
table.sort(holders)
for _, worker in ipairs(holders) do
  local row = call('HMGET', NS .. ':worker:' .. worker, 'state', 'host', 'proved')
  if (not row[1] or row[1] == 'dead') and #found < limit then
    local seqs = call('SRANDMEMBER', NS .. ':held:' .. worker, limit - #found)
    table.sort(seqs)
    for _, seq in ipairs(seqs) do
      local job = load(seq)
      local d = job.d
      found[#found + 1] = {
        job.id, d.tok, job.task, worker, row[2] or '', d.st and 1 or 0, d.solo and 1 or 0, d.f or 0, d.c or 0, d.l or 0,
        d.g or 0, d.n or 0, row[2] and 1 or 0, d.h == 'r' and 1 or 0, row[3] and 1 or 0,
      }
    end
    if not row[1] and not seqs[1] then call('SREM', NS .. ':holders', worker) end
  end
end
return found
