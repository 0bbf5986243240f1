"""Configurations of the hardware blocks: geometry, folding, latency and cycle counts."""
