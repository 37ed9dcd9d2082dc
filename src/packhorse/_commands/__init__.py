"""The commands child of a worker, ``python -m packhorse._child --commands``: runs programs as jobs, each in its own session."""
