-- Jobs with all that belongs to them, oldest first. ARGV: 4 after this number, 5 look at so many numbers from there.
-- Answers the last number looked at, whether there may be more, and number, given part, state, attempts, logs of each.
local from, last = tonumber(ARGV[4]), tonumber(call('HGET', NS, 'seq'))
local to = math.min(last, from + tonumber(ARGV[5]))
local seqs, found = {}, {}
for seq = from + 1, to do seqs[#seqs + 1] = fmt('%.0f', seq) end
local texts = fields(STATE, seqs)
for place, seq in ipairs(seqs) do
  local given = call('HGET', JOB, seq)
  if given then
    found[#found + 1] = {
      seq, given, texts[place] or '', call('LRANGE', NS .. ':attempts:' .. seq, 0, -1),
      call('HGETALL', NS .. ':logs:' .. seq),
    }
  end
end
return { fmt('%.0f', to), to < last and 1 or 0, found }
