-- Deal with a tick of a schedule, once. Before this stands enqueue.lua as the function enqueue(). The last arguments are the
-- schedule's id, revision and watermark as they were read, the new watermark, the outcome, the number of missed ticks, and how
-- many runs are kept; before them the job, as enqueue takes it, or nothing.
local TEXTS, TICKS = NS .. ':schedules', NS .. ':ticks'
local last = #ARGV
local id, revision, known, watermark = ARGV[last - 6], ARGV[last - 5], ARGV[last - 4], ARGV[last - 3]
local outcome, missed, kept = ARGV[last - 2], ARGV[last - 1], tonumber(ARGV[last])
for place = last, last - 6, -1 do ARGV[place] = nil end
local text = call('HGET', TEXTS, id)
if not text or string.match(text, '^%d+') ~= revision or head[2] then return { 'changed' } end
local stands = call('HGET', TICKS, id)
if stands ~= known or tonumber(watermark) <= tonumber(stands) then return { 'stale', stands } end
local answer, made = {}, ''
if #ARGV > 3 then
  answer = enqueue()
  if type(answer[1]) == 'string' then return answer end
  made = ARGV[4]
  local other = answer[3][1] and answer[3][1][6]
  if other and other ~= made then
    made = other
    outcome = 'overlap'
  end
end
call('HSET', TICKS, id, watermark)
local runs = NS .. ':runs:' .. id
call('LPUSH', runs, watermark .. SEP .. NOW .. SEP .. outcome .. SEP .. made .. SEP .. missed)
call('LTRIM', runs, 0, kept - 1)
return { 'fired', made, answer }
