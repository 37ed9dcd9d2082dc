-- The book of schedules: its version, its builds, the time, and then of each schedule id, text and watermark; none of those if
-- ARGV[4] is the version there is.
local BOOK = NS .. ':book'
local book = call('HMGET', BOOK, 'version', 'builds')
local version = book[1] or '0'
local found = {}
if version ~= ARGV[4] then
  local marks = {}
  local all = call('HGETALL', NS .. ':ticks')
  for place = 1, #all, 2 do marks[all[place]] = all[place + 1] end
  local texts = call('HGETALL', NS .. ':schedules')
  for place = 1, #texts, 2 do
    found[#found + 1] = texts[place]
    found[#found + 1] = texts[place + 1]
    found[#found + 1] = marks[texts[place]]
  end
end
return { version, book[2] or '{}', NOW, found }
