"""Faults of every kind under constant load; see docs/torture.md for what each may cost."""
