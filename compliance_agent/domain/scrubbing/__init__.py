"""What the scrubber knows: one table of named detectors for each kind of thing that must go.

``detectors`` (what a detector is, and how it is applied), ``names`` (which names of fields say that a secret follows),
``values`` (``name = value`` in all its spellings), ``shapes`` (keys, hashes and tokens known by their form),
``commands`` (command lines and configuration lines), ``personal`` (personal and health data). Each detector has its
examples, what goes and what stays, in ``tests/golden/scrub/``.
"""
