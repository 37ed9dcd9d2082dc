-- What is declared: names and JSON of exact names, then of beginnings; and, asked for ARGV[4] "all", what is used of rates, and steps.
local rates = ARGV[4] == 'all' and call('ZRANGEBYSCORE', NS .. ':rates', '(' .. NOW, '+inf', 'WITHSCORES') or {}
return { call('HGETALL', NS .. ':limits'), call('HGETALL', NS .. ':wild'), rates, call('HGETALL', NS .. ':steps') }
