-- News of running attempts. From ARGV[4]: id, token, JSON of each. New meta comes whole, with what it was merged from; the
-- places of those that have become something else meanwhile are answered.
local again = {}
for place = 4, #ARGV, 3 do
  local stored = call('HGET', IDS, ARGV[place])
  local job = stored and load(string.sub(stored, 1, 14))
  local token = ARGV[place + 1]
  if job and job.d.s == 'r' and job.d.tok == token then
    local d, news = job.d, cjson.decode(ARGV[place + 2])
    if news.meta and (d.meta or given(job, 4) or '') ~= news.was then
      again[#again + 1] = (place - 4) / 3
    else
      call('HDEL', STATE, job.seq)
      if news.started then d.st = fmt('%.0f', now - news.started) end
      d.progress = news.progress or d.progress
      d.meta = news.meta or d.meta
      call('HSET', STATE, job.seq, cjson.encode(d))
      write_log(job, token, news.log, news.dropped or 0)
    end
  end
end
return again
