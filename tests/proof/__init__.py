"""Runs that try to break the promise at random, and check it against a ledger kept outside the store."""
