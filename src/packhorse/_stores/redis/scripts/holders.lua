-- Who has a name. ARGV: 4 the name, 5 modes, 6 at most so many. Answers how many, and the ids of the oldest.
local name, limit, total, seqs, ids = ARGV[4], tonumber(ARGV[6]), 0, {}, {}
for mode in string.gmatch(ARGV[5], '.') do
  local key = NS .. ':has:' .. mode .. ':' .. name
  total = total + call('ZCARD', key)
  for _, seq in ipairs(call('ZRANGE', key, 0, limit - 1)) do seqs[#seqs + 1] = seq end
end
table.sort(seqs, function(a, b) return tonumber(a) < tonumber(b) end)
for place = 1, math.min(limit, #seqs) do ids[place] = load(seqs[place]).id end
return { total, ids }
