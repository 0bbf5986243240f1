"""Which designs no other one beats, and which of these is the knee."""

import numpy as np

__all__ = ["knee", "pareto"]


def pareto(values):
    """Places of the rows of ``values`` (points, objectives) that no row dominates; less is better.

    Of equal rows the first one stands for all. The result is in ascending order.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        return np.zeros(0, np.int64)
    places = np.arange(len(values))
    # A few good points first, which rule out most: anything that one of them dominates.
    low = values.min(axis=0)
    span = values.max(axis=0) - low
    scaled = ((values - low) / np.where(span > 0, span, 1)).sum(axis=1)
    for pivot in np.argsort(scaled, kind="stable")[:8]:
        point = values[pivot]
        beaten = (values[places] >= point).all(axis=1) & (values[places] > point).any(axis=1)
        places = places[~beaten]
    # In lexicographic order the first of what is left is beaten by nothing.
    order = np.lexsort((places, *values[places].T[::-1]))
    places = places[order]
    left = values[places]
    found = []
    while len(places):
        found.append(places[0])
        better = (left < left[0]).any(axis=1)
        places, left = places[better], left[better]
    return np.sort(np.array(found, np.int64))


def knee(values):
    """Place of the row of a front that lies farthest below the plane through its ends.

    Each objective is scaled to its range over the front (I. Das, "On characterizing the knee of the
    Pareto curve based on normal-boundary intersection", 1999).
    """
    values = np.asarray(values, np.float64)
    low = values.min(axis=0)
    span = values.max(axis=0) - low
    return int(np.argmin(((values - low) / np.where(span > 0, span, 1)).sum(axis=1)))
