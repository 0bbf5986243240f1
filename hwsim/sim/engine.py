"""What an engine is given and what it gives back.

An engine is a function ``run(component, stimulus) -> Recording``. It clocks ``component`` (an
Amaranth component with stream ports) in the domain ``sync`` from reset, feeds the input streams,
drains the output streams and records every transfer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Recording", "Stalled", "Stimulus", "StreamError", "Transfers"]


class StreamError(RuntimeError):
    """A component broke the stream contract: an offered beat changed or left untaken."""


class Stalled(RuntimeError):
    """Nothing moved for longer than the stimulus allows.

    The message names each stream and what it waits for.
    """


@dataclass(frozen=True)
class Stimulus:
    """What to feed, what to expect, what to watch.

    Parameters
    ----------
    inputs : mapping of port name to list of int
        Packed beats (see `hwsim.sim.beats`) for each input stream.
    outputs : mapping of port name to int
        Number of beats to wait for at each output stream.
    probes : mapping of name to (stream, int)
        Streams inside the component whose transfers are recorded too, and the number of beats to
        wait for: beats that no result depends on may still be on their way when the last output has
        come.
    stalls : float
        Probability, per cycle, that a source holds its next beat back, and that a sink is not
        ready.
    seed : int
        Of the stalls.
    wave : path, optional
        VCD file to write.
    patience : int
        Cycles without a transfer at any port after which the run counts as stalled.
    progress : callable, optional
        Called now and then with the number of output beats received and cycles simulated.
    """

    inputs: Mapping[str, list[int]]
    outputs: Mapping[str, int]
    probes: Mapping[str, Any] = field(default_factory=dict)
    stalls: float = 0.0
    seed: int = 0
    wave: Path | None = None
    patience: int = 100_000
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True, eq=False)
class Transfers:
    """Transfers of one stream: cycles (int64, (n,)) and packed payloads (n Python integers)."""

    cycles: np.ndarray
    payloads: list[int]


@dataclass(frozen=True, eq=False)
class Recording:
    """Transfers by name of input port, output port and probe; cycle 0 is the first after reset."""

    inputs: Mapping[str, Transfers]
    outputs: Mapping[str, Transfers]
    probes: Mapping[str, Transfers] = field(default_factory=dict)

    @property
    def transfers(self):
        """Those of all ports."""
        return {**self.inputs, **self.outputs}

    @property
    def cycles(self):
        """From the first transfer at an input to the last at an output, both included."""
        first = min(transfers.cycles[0] for transfers in self.inputs.values())
        last = max(transfers.cycles[-1] for transfers in self.outputs.values())
        return int(last - first) + 1
