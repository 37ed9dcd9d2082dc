"""Workers that die at the worst moments, and what becomes of their jobs."""
