-- Open the namespace again.
call('HDEL', NS, 'closed')
changed()
return 1
