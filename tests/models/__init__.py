"""State-space models of the protocols: small enough to be searched to the end."""
