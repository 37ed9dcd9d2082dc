-- Where the jobs are going.
return head[2]
