"""Reports over the record of jobs: groups of them counted in one pass, in memory that does not grow with their number."""
