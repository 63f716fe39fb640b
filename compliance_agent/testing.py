"""Fakes for every port, which pass the same contract suites as the real adapters. Only tests import this."""
