"""Central Command on the command line."""
