-- What a search plans with: the last number given, all counters, all names (kinds and lines).
return { call('HGET', NS, 'seq'), call('HGETALL', COUNTS), call('HGETALL', NAMES) }
