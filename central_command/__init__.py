"""Central Command: rules out, outcomes in, and only fixes that last become rules."""
