-- End attempts. From ARGV[4]: id, token, body of each. A plain body is "started, ended (µs ago), result"; any other is JSON.
-- First those that are nearly all, before what the others need is even made; settle.lua follows.
local size = (#ARGV - 3) / 3
local ids = {}
for place = 1, size do ids[place] = ARGV[3 * place + 1] end
local stored = fields(IDS, ids)
local seqs = {}
for place = 1, size do seqs[place] = stored[place] and string.sub(stored[place], 1, 14) or '' end
local texts = fields(STATE, seqs)

-- Plain successes change nothing but the job itself: they are nearly all, and are written together. All jobs of one claim
-- have the same text until then.
local seen, others, marks, ended, holders, kinds = {}, {}, {}, {}, {}, {}
local last_text, last_token, prefix, held
for place = 1, size do
  local at = 3 * place
  local seq, text, token, body = seqs[place], texts[place], ARGV[at + 2], ARGV[at + 3]
  local plain = text and not seen[seq] and string.byte(body) ~= 123
  if plain and (text ~= last_text or token ~= last_token) then
    plain = string.sub(text, 1, #token + 2) == 'r' .. token .. SEP
    if plain then
      last_text, last_token = text, token
      prefix = 's' .. string.sub(text, 2) .. SEP .. NOW .. SEP
      held = holders[text] or {}
      holders[text] = held
    end
  end
  if plain then
    local number = #ended + 1
    ended[number] = seq
    marks[2 * number - 1], marks[2 * number] = seq, prefix .. body
    held[#held + 1] = seq
    local kind = string.sub(stored[place], 15)
    local of = kinds[kind]
    if not of then
      of = {}
      kinds[kind] = of
    end
    of[#of + 1] = seq
  else
    others[#others + 1] = place
  end
  seen[seq] = true
end
if ended[1] then
  for text, of in pairs(holders) do
    many('SREM', NS .. ':held:' .. string.match(text, '\30([^\30]*)'), of)
  end
  many('HSET', STATE, marks)
  many('RPUSH', NS .. ':ended:s', ended)
  for kind, of in pairs(kinds) do
    local chunks, key = {}, NS .. ':ix:' .. kind .. ':s'
    for _, seq in ipairs(of) do
      local number = tonumber(seq)
      local rest = number % 512
      local chunk = number - rest
      local numbers = chunks[chunk]
      if not numbers then
        numbers = {}
        chunks[chunk] = numbers
      end
      numbers[#numbers + 1] = rest
    end
    for chunk, numbers in pairs(chunks) do
      local name = fmt('%.0f', chunk / 512)
      many('SADD', key .. ':' .. name, numbers)
      call('ZADD', key, name, name)
    end
    local queue = string.match(call('HGET', NAMES, 'n' .. kind), '^[^\30]*')
    call('HINCRBY', COUNTS, queue .. SEP .. 'r', -#of)
    call('HINCRBY', COUNTS, queue .. SEP .. 's', #of)
  end
end
local touched = ended[1] ~= nil
if not others[1] then
  if touched then changed() end
  return { touched and 1 or 0, {}, 0 }
end
