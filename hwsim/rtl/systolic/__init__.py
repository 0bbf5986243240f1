"""Systolic arrays."""
