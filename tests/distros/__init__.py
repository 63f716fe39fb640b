"""Every Linux runbook on whole systems of other distributions: see ``drifts.yaml`` and ``make distros``."""
