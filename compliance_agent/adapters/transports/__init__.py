"""How to speak to targets: the machine itself, and SSH."""
