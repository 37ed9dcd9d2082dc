"""Real servers for tests: named by an environment variable, else found on PATH, else from a wheel."""
