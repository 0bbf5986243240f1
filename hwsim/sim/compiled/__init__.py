"""The compiled engine: designs become straight-line machine code that runs many stimuli at once."""
