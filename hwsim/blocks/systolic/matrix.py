"""How long the matrix engine takes."""

__all__ = ["ACCUMULATE_LATENCY", "FEED_LATENCY", "SHORTEST_FOLD", "fold_cycles", "sum_latency"]

# A sum can be added to again after so many cycles.
SHORTEST_FOLD = 4
# Cycles from a pixel to its codes at the array.
FEED_LATENCY = 5
# Cycles from the announcement of a sum, a cycle before it comes, to that in which it can be read.
ACCUMULATE_LATENCY = 3


def fold_cycles(config, pixels):
    """Cycles from a fold to the next one, if its weights are there."""
    return max(pixels, config.rows, SHORTEST_FOLD)


def sum_latency(config):
    """Cycles from a pixel to the cycle before the one in which its sums can be read."""
    return FEED_LATENCY + config.array.latency - 1 + ACCUMULATE_LATENCY
