-- The numbers of all jobs, in no order.
return call('HKEYS', JOB)
