"""The checks of `scripts/check-structure`."""
