"""Simulation of designs: engines, stimulus, and the comparison with the reference."""
