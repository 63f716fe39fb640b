"""One file per outside thing. Each implements a port of ``engine.ports``."""
