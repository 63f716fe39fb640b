"""What the fleet teaches: which fixes last, which rules stop working. Pure decisions; the store brings the numbers."""
