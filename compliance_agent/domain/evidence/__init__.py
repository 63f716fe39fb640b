"""Evidence: what is written down so that it can be proved later. Pure; ``docs/reference/evidence.md`` is the format.

``profile`` (values and their one way to be written), ``drafts`` (what an entry says), ``tally`` (when a
scan is worth an entry), ``assessment`` (what many entries say together).
"""
