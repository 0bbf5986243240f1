"""Stimulus as circuits: what is compiled together with a design to drive and to watch it."""
