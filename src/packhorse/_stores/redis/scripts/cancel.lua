-- Cancel waiting jobs; ask for it where they run. ARGV: 4 by, 5 reason, 6 states in which they may be, 7 dry, then numbers.
local done, asked, touched = {}, {}, false
for place = 8, #ARGV do
  local job = load(ARGV[place])
  if job and string.find(ARGV[6], job.d.s, 1, true) and not FINAL[job.d.s] then
    local d = job.d
    local runs = d.s == 'r'
    if runs then asked[#asked + 1] = job.id else done[#done + 1] = job.id end
    if ARGV[7] == '' and not (runs and d.ca) then
      touched = true
      if runs then
        call('HDEL', STATE, job.seq)
        d.ca, d.cb, d.cr = NOW, ARGV[4] ~= '' and ARGV[4] or nil, ARGV[5]
        call('HSET', STATE, job.seq, cjson.encode(d))
      else
        leave(job)
        d.s, d.fin, d.due, d.sus = 'x', NOW, nil, nil
        d.cb, d.reason = ARGV[4] ~= '' and ARGV[4] or nil, ARGV[5]
        enter(job)
      end
    end
  end
end
if touched then changed() end
return { touched and 1 or 0, done, asked, stirred }
