-- Store jobs as they were elsewhere. From ARGV[4], five of each: id, JSON {queue, task, priority, created, d}, rest of the given
-- part, rows (JSON list of texts), logs (JSON list: token, text, dropped, and so on).
local fresh = 0
local jobs = {}
for place = 4, #ARGV, 5 do
  jobs[#jobs + 1] = {
    id = ARGV[place], of = cjson.decode(ARGV[place + 1]), rest = ARGV[place + 2], rows = cjson.decode(ARGV[place + 3]),
    logs = cjson.decode(ARGV[place + 4]),
  }
end
for _, each in ipairs(jobs) do
  local stored, of = call('HGET', IDS, each.id), each.of
  local seq
  if stored then
    seq = string.sub(stored, 1, 14)
    drop(load(seq), true)
  else
    seq = fmt('%.0f', call('HINCRBY', NS, 'seq', 1))
    fresh = fresh + 1
  end
  local kind = kind_number(of.queue, of.task)
  local job = {
    seq = seq, id = each.id, kind = kind, queue = of.queue, priority = of.priority, created = of.created, d = of.d,
    given = each.rest,
  }
  if call('EXISTS', NS .. ':after:' .. each.id) == 1 then of.d.k = 1 end
  if of.d.uk then call('HSET', NS .. ':unique', of.d.uk, seq) end
  if of.d.pl and of.d.pl > tonumber(call('HGET', NS, 'place') or 0) then call('HSET', NS, 'place', fmt('%.0f', of.d.pl)) end
  call('HSET', IDS, each.id, seq .. kind)
  call('HSET', JOB, seq, of.created .. SEP .. kind .. SEP .. fmt('%.0f', of.priority) .. SEP .. each.id .. SEP .. each.rest)
  enter(job)
  many('RPUSH', NS .. ':attempts:' .. seq, each.rows)
  for place = 1, #each.logs, 3 do write_log(job, each.logs[place], each.logs[place + 1], each.logs[place + 2]) end
end
changed()
return { fresh, fresh + 1, stirred }
