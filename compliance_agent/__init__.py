"""compliance_agent: an on-device compliance agent for small clinics.

Read docs/ARCHITECTURE.md first. Imports go down only:
``cli -> app -> adapters -> engine | wire -> domain -> errors``.
"""
