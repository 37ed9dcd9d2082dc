"""Real servers that are away, wrong, slow or silent, and what users and workers are told."""
