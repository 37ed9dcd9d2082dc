-- Close the namespace. ARGV: 4 where the jobs are going.
call('HDEL', NS, 'closed')
call('HSET', NS, 'closed', ARGV[4])
changed()
return 1
