-- Change waiting jobs. ARGV: 4 dry, 5 JSON of what becomes of all: queue, priority, delay (µs), at, expires (µs), expires_at, tags,
-- payload (times that are absolute as text, tags "" for none, expires_at "0" for never); then how many fields each job has (1, or 5),
-- and of each: id; the options that it has, and those that it gets; the same of meta. Options and meta are merged by the caller,
-- since Lua's numbers are not JSON's: "again", with nothing done, where they are not those any more.
local to, width = cjson.decode(ARGV[5]), tonumber(ARGV[6])
local ids, chosen, done, refused = {}, {}, {}, {}
for place = 7, #ARGV, width do ids[#ids + 1] = ARGV[place] end
for place, stored in ipairs(fields(IDS, ids)) do
  local job = stored and load(string.sub(stored, 1, 14))
  if job and WAITING[job.d.s] then
    if width > 1 then
      local at = 7 + (place - 1) * width
      if (given(job, 2) or '') ~= ARGV[at + 1] or (job.d.meta or given(job, 4) or '') ~= ARGV[at + 3] then return { 'again' } end
      job.options, job.meta = ARGV[at + 2], ARGV[at + 4]
    end
    chosen[#chosen + 1] = job
    done[#done + 1] = job.id
  elseif job then
    refused[#refused + 1] = job.id
  end
end
if ARGV[4] ~= '' or not chosen[1] then return { 0, done, refused, 0 } end
local at = to.at and tonumber(to.at) or to.delay and now + to.delay
local expires = to.expires_at or to.expires and fmt('%.0f', now + to.expires)

local function is_parked(d) return d.s == 'b' and not d.wt end

-- Into the line of a queue, with the same ready time. Ranked under another step, that lies in bounds at least.
local function move(job)
  local d = job.d
  if to.priority or to.queue then
    local latest = d.due and math.max(now, tonumber(d.due)) or now
    local ready = math.min(math.max(d.rank + job.priority * step_of(job.queue, job.priority), tonumber(job.created)), latest)
    job.priority = to.priority or job.priority
    d.rank = fmt('%.0f', ready - job.priority * step_of(to.queue or job.queue, job.priority))
  end
  if to.queue then
    if is_parked(d) then
      make_ready(d)
      d.reason = nil
    end
    d.line, job.queue = nil, to.queue
    job.kind = kind_number(job.queue, job.task)
  end
end

-- To another time. One that waits for its next attempt still does so, and keeps its rank.
local function put_off(job)
  local d = job.d
  local rank = fmt('%.0f', math.max(at, now) - job.priority * step_of(job.queue, job.priority))
  if at > now then
    d.due = fmt('%.0f', at)
    if d.s ~= 'y' then
      if is_parked(d) then d.line, d.reason = nil, nil end
      d.s, d.sch, d.rank = 'c', d.due, rank
    end
  elseif d.s == 'c' or d.s == 'y' then
    if d.s == 'c' then d.rank = rank end
    make_ready(d)
    d.due, d.sch = nil, nil
  end
end

-- What was given, with the new parts in place.
local function write(job)
  local parts = {}
  for part in string.gmatch(job.given .. SEP, '([^\30]*)\30') do parts[#parts + 1] = part end
  for place = #parts + 1, 10 do parts[place] = '' end
  parts[2], parts[3], parts[5] = job.kind, fmt('%.0f', job.priority), to.payload or parts[5]
  parts[8] = to.tags or parts[8]
  if job.options then
    parts[7], parts[9] = job.options, job.meta
    job.d.meta = nil
  end
  while parts[#parts] == '' do parts[#parts] = nil end
  job.given = table.concat(parts, SEP)
  call('HSET', JOB, job.seq, job.given)
  call('HSET', IDS, job.id, job.seq .. job.kind)
end

for _, job in ipairs(chosen) do
  leave(job)
  move(job)
  if at then put_off(job) end
  if expires then job.d.exp = expires ~= '0' and expires or nil end
  write(job)
  enter(job)
end
changed()
return { 1, done, refused, stirred }
