"""The stages of one turn. They speak to the outside only through the ports of ``engine.ports``."""
