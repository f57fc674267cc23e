"""Measurements beside the tests; run from a checkout, never part of the wheel."""
