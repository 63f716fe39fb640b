"""Evidence as bytes: signed envelopes, the chain that they form, and the documents that auditors read.

``docs/reference/evidence.md`` specifies what these modules read and write.
"""
