"""How scripts reach machines: ``local`` (this one) and ``ssh``. Both pass ``tests/contract/test_transports.py``."""
