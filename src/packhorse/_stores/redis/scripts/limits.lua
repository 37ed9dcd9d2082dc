-- What is declared: names and JSON of exact names, then of beginnings; and, asked for ARGV[4] "rates", what is used of rates.
local rates = ARGV[4] == 'rates' and call('ZRANGEBYSCORE', NS .. ':rates', '(' .. NOW, '+inf', 'WITHSCORES') or {}
return { call('HGETALL', NS .. ':limits'), call('HGETALL', NS .. ':wild'), rates }
