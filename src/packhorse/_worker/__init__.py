"""The worker: a supervisor without user code, and its children."""
