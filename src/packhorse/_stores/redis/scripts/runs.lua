-- The last runs of the schedule ARGV[4], newest first, at most ARGV[5].
return call('LRANGE', NS .. ':runs:' .. ARGV[4], 0, ARGV[5] - 1)
