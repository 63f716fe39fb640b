"""One module a command; each has a ``command``. Imported by ``cli.main`` when it is used."""
