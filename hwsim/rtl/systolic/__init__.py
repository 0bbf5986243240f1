"""The systolic accelerator in hardware; see ``docs/systolic.md``."""
