-- Set limits, rates and steps as they were elsewhere. ARGV: 4 JSON: limits, rates, steps, all lists of pairs of texts; a step of "" is the default.
local given_settings = cjson.decode(ARGV[4])
for _, pair in ipairs(given_settings.limits) do
  call('HSET', NS .. (string.sub(pair[1], -1) == '*' and ':wild' or ':limits'), pair[1], pair[2])
end
for _, pair in ipairs(given_settings.rates) do call('ZADD', NS .. ':rates', pair[2], pair[1]) end
for _, pair in ipairs(given_settings.steps) do
  if pair[2] == '' then call('HDEL', NS .. ':steps', pair[1]) else call('HSET', NS .. ':steps', pair[1], pair[2]) end
  call('HINCRBY', COUNTS, pair[1] .. SEP .. 'q', 0)
end
for _, queue in ipairs(call('SMEMBERS', NS .. ':lined')) do
  for _, member in ipairs(call('SMEMBERS', NS .. ':lines_of:' .. queue)) do
    free(string.sub(member, 2))
    call('ZADD', NS .. ':late', 0, string.sub(member, 2))
  end
end
changed()
return 1
