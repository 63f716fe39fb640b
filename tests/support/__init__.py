"""Real machines for tests: an OpenSSH server, and whole private machines behind one."""
