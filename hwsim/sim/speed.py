"""How fast the engines simulate a design on this machine."""

from dataclasses import dataclass

import numpy as np

from .simulate import simulate

__all__ = ["Speed", "measure"]

# A run this many seconds longer than that of one image per lane tells the speed, and so does one
# that takes as long as that with all its preparation.
LONG_ENOUGH, LONG = 1, 10
# How many times as many images in the next run, and the most, which have to fit in memory.
GROWTH, MOST = 8, 16384


@dataclass(frozen=True)
class Speed:
    """What one engine did.

    Members
    -------
    engine : str
    lanes : int
    images : int
        Of the longest run.
    cycles : int
        Of each lane in that run.
    seconds : float
        Of its simulation, without preparation.
    preparation_seconds : float
        Of the first run, without simulation: with code that is kept on disk if there is any.
    lane_cycles_per_second : float
    mismatches : int
        Values that differ from the integer reference, in all runs.
    """

    engine: str
    lanes: int
    images: int
    cycles: int
    seconds: float
    preparation_seconds: float
    lane_cycles_per_second: float
    mismatches: int


def measure(design, images, engine, lanes=1):
    """Simulate ever more images, until the time of the simulation stands out.

    Parameters
    ----------
    design : hwsim.rtl.streaming.Design or hwsim.rtl.systolic.design.SystolicDesign
    images : ndarray, (N, C, H, W)
        Used again if more are needed.
    engine : str
        See `hwsim.simulate`.
    lanes : int

    Returns
    -------
    Speed
    """

    def run(each):
        indices = np.arange(each * lanes) % len(images)
        return simulate(design, images[indices], engine=engine, lanes=lanes, threads=1)

    first, base = run(1), run(1)
    runs, each = [first, base], 1
    enough = LONG if base.seconds > LONG else base.seconds + LONG_ENOUGH
    while runs[-1].seconds < enough and each * GROWTH * lanes <= MOST:
        each *= GROWTH
        runs.append(run(each))
    last = runs[-1]
    if last.seconds > base.seconds:
        speed = (last.cycles - base.cycles) / (last.seconds - base.seconds)
    else:
        speed = last.cycles / last.seconds
    return Speed(
        engine=engine,
        lanes=lanes,
        images=last.images,
        cycles=last.cycles,
        seconds=last.cycles / speed,
        preparation_seconds=max(0.0, first.seconds - first.cycles / speed),
        lane_cycles_per_second=lanes * speed,
        mismatches=sum(result.mismatches for result in runs),
    )
