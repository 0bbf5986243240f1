"""A compiled design whose signals have values that Python reads and sets."""

import difflib
import itertools
from typing import Any

import numpy as np
from amaranth.back import rtlil
from amaranth.hdl import Value, unsigned
from amaranth.hdl._ir import Design, Instance, PortDirection
from amaranth.hdl._mem import MemoryInstance

from hwsim.sim.compiled.frontend import read_verilog
from hwsim.sim.compiled.program import compile_graph, compile_rtlil
from hwsim.sim.compiled.simplify import simplify
from hwsim.sim.compiled.simulation import Simulation

__all__ = [
    "Input",
    "Model",
    "Slot",
    "UnknownSignalError",
    "as_array",
    "compile_amaranth",
    "compile_verilog",
    "wrapped",
]


class UnknownSignalError(KeyError):
    """A signal that the design does not have, or that is not observed."""

    def __str__(self):
        return self.args[0]


def compile_verilog(files, top, *, lanes, observe):
    """A `Model` of Verilog files."""
    graph = simplify(read_verilog(files, top))
    return Model(compile_graph(graph, lanes=lanes, observe=observe))


def compile_amaranth(design, *, members, lanes, observe):
    """A `Model` of a prepared design.

    What the design does not drive becomes an input, under its own name. Members of its signature
    are observed in any case.
    """
    used = {id(signal): signal for signal in members}
    drivers: dict = {}
    for fragment, info in design.fragments.items():
        used.update((id(signal), signal) for signal in info.used_signals)
        drivers.update((id(signal), domain) for signal, domain in _driven(fragment))
    ports: dict = {}
    for key, signal in used.items():
        if key not in drivers and len(signal):
            _add_port(ports, signal, PortDirection.Input)
    text, names = _to_rtlil(design, ports)
    # Not all signals have wires: what only a memory drives, or a module that becomes empty.
    named = {id(signal) for signal in names}
    lost = [used[key] for key in drivers if key not in named and len(used[key])]
    for signal in lost:
        _add_port(ports, signal, PortDirection.Output)
    if lost:
        text, names = _to_rtlil(design, ports)
    paths = {id(signal): ".".join(path[1:]) for signal, path in names.items()}
    paths.update((id(signal), name) for name, (signal, _) in ports.items())
    if observe != "all":
        signals = [signal for signal in members if len(signal)]
        signals += [s for value in observe if not isinstance(value, str) for s in _signals(value)]
        observe = [path for path in observe if isinstance(path, str)]
        observe += [_path(paths, signal) for signal in signals]
    try:
        top = f"\\{design.hierarchy[0]}"
        program = compile_rtlil(text, top, lanes=lanes, observe=observe)
    except KeyError as error:
        raise UnknownSignalError(error.args[0]) from None
    return Model(program, used=used, paths=paths, drivers=drivers)


def _add_port(ports, signal, direction):
    name = signal.name or "signal"
    while name in ports:
        name += "$"
    ports[name] = signal, direction


def _to_rtlil(design, ports):
    ports = [(name, signal, direction) for name, (signal, direction) in ports.items()]
    return rtlil.convert_fragment(Design(design.fragment, ports, hierarchy=design.hierarchy))


def _signals(value):
    return Value.cast(value)._rhs_signals()


def _path(paths, signal):
    if id(signal) not in paths:
        raise UnknownSignalError(f"the design has no signal {signal!r}")
    return paths[id(signal)]


def _driven(fragment):
    """Signals that a fragment itself drives, at least in part, and the domain of each."""
    if isinstance(fragment, Instance):
        pairs = [("comb", value) for value, kind in fragment.ports.values() if kind == "o"]
    elif isinstance(fragment, MemoryInstance):
        pairs = [(port._domain, port._data) for port in fragment._read_ports]
    else:
        pairs = list(fragment.statements.items())
    for domain, target in pairs:
        for signal in target._lhs_signals():
            yield signal, domain


class Model:
    """A compiled design and its state.

    Parameters
    ----------
    program : Program
    used, paths, drivers : dict by id of a signal
        Of a design in Amaranth: the signals that it uses, their paths, the domains that drive them.

    Members
    -------
    lanes : int
    clock : Signal or None
        Of a design in Amaranth that has a clock.
    level : int
        What the clock shows.
    """

    def __init__(self, program, *, used=None, paths=None, drivers=None):
        self.program = program
        self.lanes = program.lanes
        self._paths = paths or {}
        self._drivers = drivers or {}
        self._named = {path: used[key] for key, path in self._paths.items()}
        free = [path for key, path in self._paths.items() if key not in self._drivers]
        clocks = [path for path in free if path not in program.inputs]
        self.clock: Any = self._named[clocks[0]] if clocks else None
        self.level = 0
        self.simulation = Simulation(program)
        # By the identity of a signal, and by path.
        self._slots: dict[int | str, Slot] = {}
        # Signals must live as long as their identities are used.
        self._kept: list = []
        for name in program.inputs:
            self.named(name)

    def reset(self):
        """Go back to the initial state; inputs too."""
        self.simulation = Simulation(self.program)
        self.level = 0
        for slot in self._slots.values():
            slot.reset()

    def step(self, cycles):
        """Run the clock. Assertions are checked, and raise."""
        while cycles:
            cycles -= self.simulation.run(cycles)

    def slot(self, signal):
        """The `Slot` of a signal of Amaranth."""
        if signal is self.clock:
            return _Clock(self, signal.name, signal.shape(), 0)
        slot = self._slots.get(id(signal))
        if slot is None:
            path = self._paths.get(id(signal))
            if path is not None and len(signal):
                slot = self.named(path)
            elif id(signal) in self._drivers and len(signal):
                raise UnknownSignalError(f"signal {signal.name} is not observed")
            else:
                slot = Slot(self, signal.name, signal.shape(), signal.init)
            self._kept.append(signal)
            self._slots[id(signal)] = slot
        return slot

    def named(self, path):
        """The `Slot` of a signal by its path."""
        slot = self._slots.get(path)
        if slot is None:
            slot = self._slots[path] = self._make(path)
        return slot

    def signal(self, path):
        """The signal of Amaranth that has a path, or None."""
        return self._named.get(path)

    def _make(self, path):
        signal = self._named.get(path)
        if path in self.program.inputs:
            shape = unsigned(self.program.inputs[path].width)
            if signal is None:
                return Input(self, path, shape, 0)
            return Input(self, path, signal.shape(), signal.init)
        try:
            place, _ = self.simulation.locate(path)
        except KeyError:
            raise UnknownSignalError(self._unknown(path)) from None
        shape = unsigned(place.width) if signal is None else signal.shape()
        domain = self._drivers.get(id(signal), "comb")
        return _Wire(self, path, shape, is_comb=domain == "comb")

    def _unknown(self, path):
        if path in self._named:
            return f"signal {path} is not observed"
        near = difflib.get_close_matches(path, itertools.islice(self.paths(), 20_000), 3, 0.6)
        hint = f"; it has {' and '.join(near)}" if near else ""
        return f"the design has no signal {path} that is observed{hint}"

    def paths(self):
        """Paths of everything that can be read."""
        yield from self.program.paths()


class Slot:
    """A signal's value, as Amaranth's evaluation of expressions reads and sets it.

    This one is of a signal that the design does not use: it keeps what is set.
    """

    is_comb = False

    def __init__(self, model, name, shape, init):
        self.model = model
        self.name = name
        self.shape = shape
        self._init = init
        self._value = self._spread(init)

    def _spread(self, value):
        lanes = self.model.lanes
        return value if lanes == 1 else as_array([value] * lanes, self.shape)

    @property
    def curr(self):
        """The value: an integer, or an array of shape (lanes,)."""
        return self._value

    next = curr

    def update(self, value):
        """Set the value."""
        self._value = value

    def reset(self):
        """Go back to the initial value."""
        self.update(self._spread(self._init))


class _Clock(Slot):
    """The clock."""

    @property
    def curr(self):
        return self.model.level

    next = curr

    def update(self, value):
        raise NotImplementedError(
            f"the clock, {self.name}, cannot be set: it runs by add_clock, and by step"
        )


class Input(Slot):
    """An input of the design.

    Members
    -------
    wakers : list of callable
        Called with the old value and the new one; those that return false are dropped.
    """

    def __init__(self, model, name, shape, init):
        super().__init__(model, name, shape, init)
        self.wakers: list = []
        self.reset()

    def update(self, value):
        """Set the value, and call what waits for it to change."""
        old, self._value = self._value, value
        # What wakes up samples the design before it sees the new value.
        if self.wakers:
            self.wakers = [waker for waker in self.wakers if waker(old, value)]
        self.model.simulation.poke(self.name, value)

    def reset(self):
        """Go back to the initial value; nothing waits any more."""
        self.wakers = []
        super().reset()


class _Wire(Slot):
    """What the design drives."""

    def __init__(self, model, name, shape, *, is_comb):
        super().__init__(model, name, shape, 0)
        self.is_comb = is_comb

    @property
    def curr(self):
        bits = self.model.simulation.peek(self.name)
        if self.model.lanes > 1:
            return as_array(bits.tolist(), self.shape)
        return wrapped(bits, self.shape)

    next = curr

    def update(self, value):
        raise NotImplementedError(
            f"signal {self.name} is a register, and the compiled engine sets inputs only"
        )

    def reset(self):
        pass


def wrapped(value, shape):
    """The number of a shape whose bits are the lowest ones of an integer."""
    bits = value & ((1 << shape.width) - 1)
    return bits - (1 << shape.width) if shape.signed and bits >> (shape.width - 1) else bits


def as_array(values, shape):
    """Integers as the numbers of a shape, in an array."""
    values = [wrapped(value, shape) for value in values]
    if shape.width > 64:
        return np.array(values, object)
    return np.array(values, np.uint64 if shape.width == 64 and not shape.signed else np.int64)
