"""Streaming units that turn sums into codes, and the update of weights, as training needs them."""

from dataclasses import dataclass, replace

import numpy as np

from .checks import check_integer
from .reshape import ForkConfig
from .stream import Frame
from .timing import Actor, Edge, evaluate
from .training import BITS, NOISE_BITS, TrainingConfig
from .unit import UnitConfig

__all__ = ["SETTINGS", "CombineConfig", "RoundingConfig", "UpdateConfig", "rounding_word"]

# Bits of a shift, and of a factor.
SHIFT_BITS = 6
FACTOR_BITS = 16
# Ports that take a beat for each frame, with its first.
PER_FRAME = ("f", "s")
# The widest sum that `hwsim.rtl.training.Round` takes.
WIDEST_SUM = 62

SETTINGS = Frame(1, 1, 1, 1, SHIFT_BITS + 1 + NOISE_BITS, False)
"""How a frame is rounded: one beat, a `rounding_word`."""


def rounding_word(shift, seed=None):
    """A beat of `SETTINGS`: division by ``2**shift`` (0 to 32); stochastic if there is a seed."""
    check_integer("shift", shift, 0)
    if shift > NOISE_BITS:
        raise ValueError(f"shift must be at most {NOISE_BITS}, not {shift}")
    if seed is None:
        return shift
    check_integer("seed", seed, 0)
    if seed >> NOISE_BITS:
        raise ValueError(f"seed must be less than 2**{NOISE_BITS}, not {seed}")
    return shift | 1 << SHIFT_BITS | seed << (SHIFT_BITS + 1)


def _check_widths(config):
    """The widths are such as `hwsim.rtl.training.Round` takes."""
    if not config.frame.signed:
        raise ValueError("frame must be of signed numbers")
    if config.accumulator_bits > WIDEST_SUM:
        raise ValueError(f"sums must have at most {WIDEST_SUM} bits, not {config.accumulator_bits}")


class _Rounds(UnitConfig):
    """What units share that end in `hwsim.rtl.training.Round`, a beat per cycle."""

    bits = BITS

    @property
    def lanes(self):
        """Codes that are rounded in a cycle."""
        return self.output.lanes

    @property
    def interval(self):
        """Cycles per frame in the steady state: its beats."""
        return self.output.beats

    def actors(self, name):
        """One actor; what holds for a whole frame is taken with its first beat."""
        every = np.ones(self.output.beats, bool)
        first = np.arange(len(every)) == 0
        takes = {port: first if port in PER_FRAME else every for port in self.inputs}
        return (Actor(name, every.astype(np.int64), takes, every),)


@dataclass(frozen=True, kw_only=True)
class RoundingConfig(_Rounds):
    """Sums become codes. One beat per cycle.

    Parameters
    ----------
    frame : Frame
        Of the sums, signed.

    Members
    -------
    lanes, bits, accumulator_bits : int
        Lanes, and bits of a code and of a sum.
    """

    frame: Frame

    def __post_init__(self):
        _check_widths(self)

    @property
    def accumulator_bits(self):
        """Width of a sum."""
        return self.frame.bits

    @property
    def inputs(self):
        """Port ``i``; port ``s`` with a beat for each frame."""
        return {"i": self.frame, "s": SETTINGS}

    @property
    def output(self):
        """The same map in codes."""
        return replace(self.frame, bits=self.bits)

    @property
    def latency(self):
        """Operands, rounding."""
        return 1 + TrainingConfig.round_latency


@dataclass(frozen=True, kw_only=True)
class CombineConfig(_Rounds):
    """``round((p x + q y) / 2**shift)`` of two streams and two factors. One beat per cycle.

    Parameters
    ----------
    frame : Frame
        Of ``x`` and ``y`` and of the result: signed, of 16 bits.

    Members
    -------
    lanes, bits, accumulator_bits : int
        Lanes, and bits of a code and of a sum.
    """

    ARITHMETIC_LATENCY = 4  # operands, products (twice), sum

    frame: Frame

    def __post_init__(self):
        _check_widths(self)
        if self.frame.bits != self.bits:
            raise ValueError(f"frame must be of {self.bits} bits, not of {self.frame.bits}")

    @property
    def accumulator_bits(self):
        """Width of the sum of two products."""
        return self.frame.bits + FACTOR_BITS + 1

    @property
    def inputs(self):
        """Ports ``i0`` (x), ``i1`` (y); ``f`` (p, q) and ``s`` with a beat for each frame."""
        factors = Frame(1, 1, 2, 2, FACTOR_BITS)
        return {"i0": self.frame, "i1": self.frame, "f": factors, "s": SETTINGS}

    @property
    def output(self):
        """Codes."""
        return self.frame

    @property
    def latency(self):
        """The arithmetic, rounding."""
        return self.ARITHMETIC_LATENCY + TrainingConfig.round_latency


@dataclass(frozen=True, kw_only=True)
class UpdateConfig(UnitConfig):
    """The update of weights ``w`` with gradients ``g`` and velocities ``v``. One beat per cycle.

    ::

        v = round((p v + q g) / 2**shift)
        w = round((p w + q v) / 2**shift)       with factors of its own, and the new v

    Parameters
    ----------
    frame : Frame
        Of gradients, velocities and weights alike.

    Members
    -------
    combine : CombineConfig
        Of either line.
    fork : ForkConfig
        Of the new velocities: to the second line, and out.
    """

    frame: Frame

    def __post_init__(self):
        _ = self.combine

    @property
    def combine(self):
        """Of either line."""
        return CombineConfig(frame=self.frame)

    @property
    def fork(self):
        """Of the new velocities: to the second line, and out."""
        return ForkConfig(frame=self.frame, outputs=2)

    @property
    def inputs(self):
        """Ports ``g``, ``v``, ``w``; ``vf``, ``vs``, ``wf``, ``ws``: `CombineConfig`'s f and s."""
        ports = self.combine.inputs
        frames = dict.fromkeys(("g", "v", "w"), self.frame)
        return frames | {f"{line}{port}": ports[port] for line in "vw" for port in PER_FRAME}

    @property
    def output(self):
        """New weights; port ``vo`` has the new velocities in the same shape."""
        return self.frame

    @property
    def latency(self):
        """Of the second line."""
        return self.combine.latency

    @property
    def interval(self):
        """Cycles per frame in the steady state: its beats."""
        return self.frame.beats

    def actors(self, name):
        """Velocities, the fork, weights."""
        return (
            *self.combine.actors(f"{name}.v"),
            *self.fork.actors(f"{name}.fork"),
            *self.combine.actors(f"{name}.w"),
        )

    def chain(self, name):
        """The actors, and the edges by way of the fork."""
        actors = self.actors(name)
        velocities, fork, weights = (actor.name for actor in actors)
        return actors, (
            self.combine.output_edge(velocities, fork),
            self.fork.output_edge(fork, weights, "i1"),
        )

    def trace(self, frames=1, queue=None):
        """`Trace` of ``frames`` frames back to back: the sink is that of the weights."""
        actors, edges = self.chain("unit")
        velocities, fork, weights = (actor.name for actor in actors)
        sources = (
            Edge(None, velocities, "i1"),
            *(
                Edge(None, name, port)
                for name in (velocities, weights)
                for port in ("i0", *PER_FRAME)
            ),
        )
        sinks = (
            self.output_edge(weights, None, queue=queue),
            self.fork.output_edge(fork, None, "vo"),
        )
        return evaluate(actors, (*sources, *edges, *sinks), frames)
