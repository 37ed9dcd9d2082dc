-- Find those among jobs (ARGV: from 4 their ids) who could go, or should have given up, though nothing would have admit look at
-- them; have it look. Answers their ids.
if head[2] then return {} end
call('ZREM', NS .. ':news', '') -- so that what follows works when memory is full
if catch_up(400) <= 0 then return {} end

local function is_noted(job)
  local seq, queue = job.seq, job.queue
  if call('ZSCORE', NS .. ':fresh', seq) or call('ZSCORE', NS .. ':back', seq) then return true end
  if call('ZSCORE', NS .. ':shut:' .. queue, seq) and call('SISMEMBER', NS .. ':shut', queue) == 1 then return true end
  if call('SISMEMBER', NS .. ':lined', queue) == 1 and call('SISMEMBER', NS .. ':open', queue) == 0 then return true end
  for _, hold in ipairs(holds_of(job)) do
    if call('SISMEMBER', NS .. ':freed', hold[2]) == 1 then return true end
    local late = call('ZSCORE', NS .. ':late', hold[2])
    if late and tonumber(late) <= now and call('ZSCORE', NS .. ':stuck:r:' .. queue .. SEP .. hold[2], seq) then return true end
  end
  return false
end

local function is_lost(job)
  local unended, open, hopeless = before_the_lines(job)
  if hopeless then return not is_noted(job) end
  if unended or open > 0 or not is_open(job.queue) or obstacle(job) then return false end
  return not is_noted(job)
end

local function find_again(job)
  local _, _, hopeless = before_the_lines(job)
  if hopeless or not job.d.pl then
    call('ZADD', NS .. ':fresh', job.seq, job.seq)
  elseif call('ZSCORE', NS .. ':line:' .. tail_of(job, holds_of(job)[1]), job.seq) then
    ask_again(job)
  else
    call('ZADD', NS .. ':back', job.seq, job.seq)
  end
end

local ids, lost = {}, {}
for place = 4, #ARGV do ids[place - 3] = ARGV[place] end
for _, stored in ipairs(fields(IDS, ids)) do
  local job = stored and load(string.sub(stored, 1, 14))
  if job and job.d.wt and job.d.s == 'b' and is_lost(job) then lost[#lost + 1] = job end
end
local answer = {}
for place, job in ipairs(lost) do
  find_again(job)
  answer[place] = job.id
end
return answer
