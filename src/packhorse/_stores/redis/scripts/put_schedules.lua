-- Store schedules if the book still has the version ARGV[4]; return whether it did. ARGV[5]: builds, "" for those there are.
-- ARGV[6]: how many are to be forgotten, then their ids; then id, text and watermark of each that is put. A text begins with the
-- revision, which is written here.
local BOOK, TEXTS, TICKS = NS .. ':book', NS .. ':schedules', NS .. ':ticks'
if (call('HGET', BOOK, 'version') or '0') ~= ARGV[4] then return 0 end
local revision = call('HINCRBY', BOOK, 'version', 1)
if ARGV[5] ~= '' then call('HSET', BOOK, 'builds', ARGV[5]) end
local first = 7 + ARGV[6]
for place = 7, first - 1 do
  call('HDEL', TEXTS, ARGV[place])
  call('HDEL', TICKS, ARGV[place])
  call('DEL', NS .. ':runs:' .. ARGV[place])
end
for place = first, #ARGV, 3 do
  local id = ARGV[place]
  call('HSET', TEXTS, id, revision .. SEP .. ARGV[place + 1])
  -- A watermark never goes back.
  local stands = call('HGET', TICKS, id)
  if not stands or tonumber(stands) < tonumber(ARGV[place + 2]) then call('HSET', TICKS, id, ARGV[place + 2]) end
end
changed()
return 1
