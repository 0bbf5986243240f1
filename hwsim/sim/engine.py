"""What an engine is given and what it gives back.

An engine is a function ``run(component, stimulus) -> Recording``. It clocks ``component`` (an
Amaranth component with stream ports) in the domain ``sync`` from reset, feeds the input streams,
drains the output streams and records every transfer. All engines give the same recording.

A source offers its next beat in each cycle whose bit of its stall pattern is 0, and then until it
is taken; it drives the beat, or 0 after the last one, whether it offers it or not. A sink is ready
in each cycle whose bit is 0. The bit of cycle ``t`` is number ``t % PATTERN_CYCLES``.

The run ends before the first cycle at whose start every stream has made its number of transfers,
every agent is done and, if the stimulus says so, a signal is 1.

A run may have *lanes*: independent stimuli side by side, each with a component of its own. Inputs
of the shape (lanes, n, elements) say so; inputs without that axis are the same for every lane.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Const, Value
from amaranth.lib import stream, wiring

from .beats import Element, codes_of, elements_of, payloads_of, values_of

__all__ = [
    "CHANGED",
    "PATTERN_CYCLES",
    "Plan",
    "Recording",
    "Stalled",
    "Stimulus",
    "StreamError",
    "Traffic",
    "Transfers",
    "Unfinished",
    "Wave",
    "failed_message",
    "patterns",
    "plan",
    "stall_pattern",
    "stalled_message",
    "unfinished_message",
    "whole_vcd",
]

PATTERN_CYCLES = 1 << 16
# What a stream does that breaks the contract.
CHANGED = "changed a beat that was offered and not yet taken"


class StreamError(RuntimeError):
    """A component broke the stream contract: an offered beat changed or left untaken."""


class Unfinished(RuntimeError):
    """The run was not over when its limit of cycles was reached.

    The message tells how far each stream had come.
    """


class Stalled(RuntimeError):
    """Nothing moved for longer than the stimulus allows.

    The message names each stream and what it waits for.
    """


@dataclass(frozen=True)
class Wave:
    """Which waveforms to write, and where.

    Parameters
    ----------
    path : path
        Its suffix, ``.vcd`` or ``.fst``, says the format.
    scope : str
        Path of an instance in the component, names joined by dots, whose signals and those of the
        instances below are written; all of them when it is empty.
    first, last : int
        First cycle, and the one after the last; None for the end of the run.
    lane : int
    """

    path: Path
    scope: str = ""
    first: int = 0
    last: int | None = None
    lane: int = 0

    def __post_init__(self):
        if self.first < 0 or (self.last is not None and self.last <= self.first):
            raise ValueError(
                f"waveforms must be of at least one cycle, not of {self.first} to {self.last}"
            )


def whole_vcd(wave, engine):
    """Path of a VCD file of everything, which is what some engines write; None for none."""
    if wave is None:
        return None
    wave = wave if isinstance(wave, Wave) else Wave(Path(wave))
    if wave != Wave(wave.path):
        raise ValueError(f"the {engine} engine writes the waveforms of all signals and cycles only")
    if Path(wave.path).suffix.lower() != ".vcd":
        raise ValueError(
            f"the {engine} engine writes waveforms as VCD, and {Path(wave.path).name!r} does not "
            "end in .vcd"
        )
    return Path(wave.path)


@dataclass(frozen=True)
class Stimulus:
    """What to feed, what to expect, what to watch.

    Parameters
    ----------
    inputs : mapping of port name to array-like of int
        Beats for each input stream: (n, elements) or (lanes, n, elements), see `hwsim.sim.beats`;
        or (n,), packed beats.
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
    lane_stalls : bool
        Whether each lane has stalls of its own. All lanes stall together otherwise, which is
        faster.
    agents : mapping of port name to component
        What is connected to other ports than streams: an agent of `hwsim.sim.stimulus`, such as a
        memory, whose member ``bus`` fits the port.
    buffers : mapping of buffer name to ndarray
        What the agents' buffers hold at first: (length,), or (lanes, length).
    until : Value, optional
        A signal of the component for whose 1 the run waits, too.
    limit : int, optional
        Cycles after which a run that is not over ends with `Unfinished`.
    wave : path or Wave, optional
        Waveforms to write.
    threads : int
        Among which the lanes are divided, by the engines that can.
    patience : int
        Cycles in which nothing moves at any port after which the run counts as stalled.
    progress : callable, optional
        Called now and then with the number of output beats received and cycles simulated.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, int]
    probes: Mapping[str, Any] = field(default_factory=dict)
    stalls: float = 0.0
    seed: int = 0
    lane_stalls: bool = False
    agents: Mapping[str, Any] = field(default_factory=dict)
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)
    until: Value | None = None
    limit: int | None = None
    wave: Path | Wave | None = None
    threads: int = 1
    patience: int = 100_000
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True, eq=False)
class Transfers:
    """Transfers of one stream.

    Parameters
    ----------
    cycles : ndarray of int64, (n,) or (lanes, n)
        Of each transfer; 0 is the first cycle after reset.
    codes : ndarray, (n, elements) or (lanes, n, elements)
        What was transferred, unsigned.
    elements : tuple of Element
        What the codes are.
    held : int, or ndarray of int64, (lanes,)
        Cycles of the run in which a beat was offered and not taken.
    starved : int, or ndarray of int64, (lanes,)
        Cycles of the run in which a beat would have been taken and none was offered.
    """

    cycles: np.ndarray
    codes: np.ndarray
    elements: tuple[Element, ...] = ()
    held: Any = 0
    starved: Any = 0

    @property
    def values(self):
        """`codes`, two's complement where an element is signed."""
        return values_of(self.codes, self.elements)

    @cached_property
    def payloads(self):
        """Packed beats, n Python integers; with lanes, a list of them for each."""
        if self.codes.ndim == 2:
            return payloads_of(self.codes, self.elements)
        return [payloads_of(codes, self.elements) for codes in self.codes]


@dataclass(frozen=True, eq=False)
class Recording:
    """Transfers by name of input port, output port and probe; cycle 0 is the first after reset.

    Of outputs and probes the transfers that the stimulus waits for, and none after them.
    ``buffers`` are those of the agents after the run, (length,) or (lanes, length).
    """

    inputs: Mapping[str, Transfers]
    outputs: Mapping[str, Transfers]
    probes: Mapping[str, Transfers] = field(default_factory=dict)
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def transfers(self):
        """Those of all ports."""
        return {**self.inputs, **self.outputs}

    @property
    def cycles(self):
        """From the first transfer at an input to the last at an output, both included.

        With lanes, of whichever lane is the first and the last.
        """
        first = min(transfers.cycles[..., 0].min() for transfers in self.inputs.values())
        last = max(transfers.cycles[..., -1].max() for transfers in self.outputs.values())
        return int(last - first) + 1


@dataclass(frozen=True, eq=False)
class Traffic:
    """What one stream is to carry.

    Members
    -------
    key : str
        Its kind and number, for names that hold no surprise: ``input0``, ``output0``, ``probe0``.
    name : str
    stream : stream interface
    elements : tuple of Element
        Of its payload.
    count : int
        Transfers to wait for.
    codes : ndarray or None
        Of an input: (n, elements) or (lanes, n, elements).
    """

    key: str
    name: str
    stream: Any
    elements: tuple[Element, ...]
    count: int
    codes: np.ndarray | None = None

    @property
    def always_ready(self):
        """Whether the stream's shape says that it never waits."""
        return isinstance(self.stream.ready, Const)


@dataclass(frozen=True, eq=False)
class Plan:
    """A stimulus, checked against the component; ``lanes`` is None for a run without that axis.

    ``agents`` are pairs of a port (interface) and the agent.
    """

    inputs: list[Traffic]
    outputs: list[Traffic]
    probes: list[Traffic]
    agents: list[tuple[Any, Any]]
    lanes: int | None

    @property
    def streams(self):
        """All: inputs, outputs, probes."""
        return [*self.inputs, *self.outputs, *self.probes]

    @property
    def channels(self):
        """Pairs (name, stream): these, and the agents' channels."""
        channels = [(traffic.name, traffic.stream) for traffic in self.streams]
        for _, agent in self.agents:
            channels += agent.streams.items()
        return channels


def plan(component, stimulus):
    """Check ``stimulus`` against the ports of ``component``; a `Plan`."""
    if not 0 <= stimulus.stalls < 1:
        raise ValueError(f"stalls must lie in [0, 1), not {stimulus.stalls}")
    inputs = []
    numbers = set()
    for k, (name, beats) in enumerate(stimulus.inputs.items()):
        port = _port(component, name, wiring.In)
        if isinstance(port.valid, Const):
            raise ValueError(f"stream {name} is always valid, so that no source can feed it")
        elements = elements_of(port.payload.shape())
        codes = codes_of(name, beats, elements)
        inputs.append(Traffic(f"input{k}", name, port, elements, codes.shape[-2], codes))
        if codes.ndim == 3:
            numbers.add(len(codes))
    outputs = [
        _watched(f"output{k}", name, _port(component, name, wiring.Out), count)
        for k, (name, count) in enumerate(stimulus.outputs.items())
    ]
    probes = [
        _watched(f"probe{k}", name, *probe)
        for k, (name, probe) in enumerate(stimulus.probes.items())
    ]
    agents = []
    for name, agent in stimulus.agents.items():
        if name not in component.signature.members:
            raise ValueError(f"{type(component).__name__} has no port {name!r}")
        agents.append((getattr(component, name), agent))
    for name, array in stimulus.buffers.items():
        if array.ndim not in (1, 2):
            raise ValueError(
                f"buffer {name!r} must have the shape (length,) or (lanes, length), "
                f"not {array.shape}"
            )
        if array.ndim == 2:
            numbers.add(len(array))
    if len(numbers) > 1:
        raise ValueError(
            "inputs and buffers must have equal numbers of lanes, not "
            f"{', '.join(map(str, sorted(numbers)))}"
        )
    return Plan(inputs, outputs, probes, agents, numbers.pop() if numbers else None)


def _port(component, name, flow):
    members = component.signature.members
    if (
        name in members
        and members[name].is_signature
        and members[name].flow is flow
        and isinstance(members[name].signature, stream.Signature)
    ):
        return getattr(component, name)
    kind = "input" if flow is wiring.In else "output"
    raise ValueError(f"{type(component).__name__} has no {kind} stream {name!r}")


def _watched(key, name, port, count):
    if not isinstance(count, (int, np.integer)) or count < 0:
        raise ValueError(f"the number of beats of stream {name} must be 0 or more, not {count!r}")
    return Traffic(key, name, port, elements_of(port.payload.shape()), int(count))


def stall_pattern(seed, name, probability, lane=0):
    """Stall bits of the stream ``name``: uint8 (`PATTERN_CYCLES`,), each 1 with ``probability``.

    The same on every machine and with every version of NumPy, which keeps raw numbers of its bit
    generators stable.
    """
    digest = hashlib.sha256(f"{seed} {name} {lane}".encode()).digest()
    raw = np.random.PCG64(int.from_bytes(digest, "little")).random_raw(PATTERN_CYCLES)
    return (raw >> np.uint64(11) < np.uint64(round(probability * (1 << 53)))).astype(np.uint8)


def patterns(stimulus):
    """Stall patterns of the agents, by the name of the buffer that holds them."""
    return {
        name: stall_pattern(stimulus.seed, name.removesuffix(".stall"), probability)
        for agent in stimulus.agents.values()
        for name, probability in agent.patterns.items()
    }


def failed_message(who, rule, cycle):
    """What a `StreamError` says."""
    return f"{who} {rule}, in cycle {cycle}"


def unfinished_message(limit, positions):
    """What an `Unfinished` says; ``positions`` are (stream, transfers, number to wait for)."""
    states = "".join(f", {name} made {done} of {count}" for name, done, count in positions)
    return f"the run is not over after {limit} cycles{states}"


def stalled_message(patience, cycle, states):
    """What a `Stalled` says; ``states`` are (stream, valid, ready) in the last cycle."""
    words = {
        (0, 0): "idle",
        (0, 1): "waits for a beat",
        (1, 0): "waits for ready",
        (1, 1): "moves",
    }
    waits = ", ".join(f"{name} {words[bool(valid), bool(ready)]}" for name, valid, ready in states)
    return f"nothing moved for {patience} cycles up to cycle {cycle}: {waits}"
