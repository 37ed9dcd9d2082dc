"""Workers: their pure parts, and real ones with real processes and signals."""
