-- What is in the way of jobs. ARGV: from 4 the ids. Answers for each nothing, or kind, name, holder, since, place, at; first
-- whether it could not look at all that had changed: ask again.
call('ZREM', NS .. ':news', '') -- so that what follows works when memory is full
local left, answer = catch_up(400), {}
if left <= 0 then return { 1 } end

local function since_of(job) return job.d.s == 'r' and job.d.st or '' end

local function held(job, found)
  local line, place = line_named(found.name), job.d.pl and fmt('%.0f', job.d.pl)
  local oldest
  for mode in string.gmatch(found.against, '.') do
    local first = call('ZRANGE', NS .. ':has:' .. mode .. ':' .. found.name, 0, 0)[1]
    if first and (not oldest or first < oldest) then oldest = first end
  end
  oldest = oldest or first_in(':line:', line, found.name, found.against)
  local holder = load(oldest)
  return {
    'held', found.name, holder.id, since_of(holder), fmt('%.0f', 1 + before(line, found.name, found.against, place)), '',
  }
end

local function tell_of(job)
  local unended, open = before_the_lines(job)
  local queue = job.queue
  if unended then return { 'after', unended, '', '', '', '' } end
  if open > 0 then return { 'flow', rules_of(job).af, '', '', fmt('%.0f', open), '' } end
  if is_paused(queue) then return { 'paused', queue, '', '', '', '' } end
  if not is_served(queue) then return { 'unserved', queue, '', '', '', '' } end
  local found = obstacle(job)
  if not found then return {} end
  if found.kind == 'held' then return held(job, found) end
  return { found.kind, found.name, '', '', '', found.at and fmt('%.0f', found.at) or '' }
end

local ids = {}
for place = 4, #ARGV do ids[place - 3] = ARGV[place] end
for place, stored in ipairs(fields(IDS, ids)) do
  local job = stored and load(string.sub(stored, 1, 14))
  answer[place] = job and job.d.wt and job.d.s == 'b' and tell_of(job) or {}
end
return { 0, answer }
