"""Random circuits in Amaranth and stimuli for them; random Verilog is in `verilog_circuits`.

Everything follows from a seed, so that a seed is all that a failing test has to print.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from amaranth.hdl import (
    Array,
    Cat,
    ClockDomain,
    Const,
    EnableInserter,
    Module,
    Mux,
    ResetInserter,
    ResetSignal,
    Shape,
    Signal,
    Value,
)
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["Circuit", "amaranth_circuit", "extreme", "stimulus", "width_up_to"]

EDGES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200)


@dataclass(frozen=True)
class Circuit:
    """A design to be simulated.

    Members
    -------
    seed : int
    inputs, outputs : dict of name to int
        Widths of ports, without the clock and the reset, which are ``clk`` and ``rst``.
    component : function that returns a component, or None
    verilog : str or None
        Text, whose top is the module ``name``.
    name : str
    sizes : dict of str to int
        What it is made of, to describe it.
    """

    seed: int
    name: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    component: Callable | None = None
    verilog: str | None = None
    sizes: dict = field(default_factory=dict)

    def __str__(self):
        sizes = " ".join(f"{name}={value}" for name, value in self.sizes.items())
        return f"{'verilog' if self.verilog else 'amaranth'} circuit, seed {self.seed}: {sizes}"


def width_up_to(rng, limit):
    """A width: mostly small or beside a power of two."""
    kind = rng.random()
    if kind < 0.5:
        return rng.randint(1, min(9, limit))
    if kind < 0.9:
        return rng.choice([w for w in EDGES if w <= limit])
    return rng.randint(1, limit)


def extreme(rng, width):
    """An unsigned number: random, or one that is likely to meet a boundary."""
    ones = (1 << width) - 1
    top = 1 << (width - 1)
    return rng.choice(
        [
            rng.getrandbits(width),
            rng.getrandbits(width),
            rng.getrandbits(width),
            rng.getrandbits(width) & rng.getrandbits(width) & rng.getrandbits(width),
            rng.randrange(min(ones + 1, 20)),
            0,
            1,
            ones,
            top,
            top - 1,
            1 << rng.randrange(width),
            ones ^ (1 << rng.randrange(width)),
            ones >> rng.randrange(width),
        ]
    )


def stimulus(circuit, cycles, seed, resets=0.04):
    """Inputs of each cycle: a list of dicts by port, with ``rst``; no reset in the first cycle."""
    rng = random.Random(f"stimulus {seed}")
    rows = []
    row = {}
    for cycle in range(cycles):
        row = {
            name: row[name] if cycle and rng.random() < 0.15 else extreme(rng, width)
            for name, width in circuit.inputs.items()
        }
        row["rst"] = int(cycle > 0 and rng.random() < resets)
        rows.append(row)
    return rows


# Amaranth


def amaranth_circuit(seed):
    """The random Amaranth component of a seed."""
    rng = random.Random(f"amaranth {seed}")
    sizes = {
        "statements": rng.choice([1, 1, 2, 3, 5]),
        "depth": rng.choice([1, 1, 2, 2, 3]),
        "width": rng.choice([4, 9, 17, 33, 65, 65, 130, 200]),
        "levels": rng.choice([0, 0, 0, 0, 1, 1, 2]),
        "regular": rng.choice([0, 0, 1]),
        "memories": rng.choice([0, 0, 0, 1, 1, 2]),
        "registers": rng.choice([0, 1, 1, 1, 1, 1]),
        "reset": rng.choice(["sync"] * 6 + ["async", "none"]),
    }
    if sizes["reset"] == "async":
        # On the edge of an asynchronous reset Amaranth's simulator writes memories, too.
        sizes["memories"] = 0
    ports = _Ports.random(rng, sizes["width"], rng.randint(1, 5), rng.randint(1, 4))
    make = partial(_Body, seed, ports, sizes, top=True)
    return Circuit(
        seed,
        f"c{seed}",
        {name: shape.width for name, shape in ports.inputs.items()},
        {name: shape.width for name, shape in ports.outputs.items()} | {"rest": _REST},
        make,
        sizes=sizes,
    )


_REST = 64
_WIDEST = 260


def _shape(rng, limit):
    return Shape(width_up_to(rng, limit), rng.random() < 0.35)


@dataclass(frozen=True)
class _Ports:
    inputs: dict
    outputs: dict

    @classmethod
    def random(cls, rng, limit, inputs, outputs):
        return cls(
            {f"i{k}": _shape(rng, limit) for k in range(inputs)},
            {f"o{k}": _shape(rng, limit) for k in range(outputs)},
        )

    @property
    def members(self):
        return {name: In(shape) for name, shape in self.inputs.items()} | {
            name: Out(shape) for name, shape in self.outputs.items()
        }


class _Body(wiring.Component):
    """A random module with these ports: equal seeds make equal modules.

    As the top it also has an output ``rest`` that depends on every value in it.
    """

    def __init__(self, seed, ports, sizes, top=False):
        self._seed = seed
        self._ports = ports
        self._sizes = sizes
        self._top = top
        self._explicit = top and sizes["reset"] != "sync"
        members = dict(ports.members)
        if top:
            members["rest"] = Out(_REST)
        if self._explicit:
            members["clk"] = In(1)
            if sizes["reset"] == "async":
                members["rst"] = In(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        if self._explicit:
            is_async = self._sizes["reset"] == "async"
            m.domains.sync = domain = ClockDomain(async_reset=is_async, reset_less=not is_async)
            domain.clk = self.clk
            if is_async:
                domain.rst = self.rst
        maker = _Maker(random.Random(f"body {self._seed}"), m, self._sizes)
        maker.pool = [getattr(self, name) for name in self._ports.inputs]
        maker.fill()
        for name in self._ports.outputs:
            m.d.comb += getattr(self, name).eq(maker.value(1))
        if self._top:
            pieces = [
                value[start : start + _REST].rotate_left(k % min(len(value) - start, _REST))
                for k, value in enumerate(maker.pool)
                for start in range(0, len(value), _REST)
            ]
            while len(pieces) > 1:
                pieces = [a ^ b for a, b in zip(pieces[::2], pieces[1::2], strict=False)] + (
                    pieces[-1:] if len(pieces) % 2 else []
                )
            m.d.comb += self.rest.eq(pieces[0])
        return m


class _Maker:
    """Fills a module with random logic; ``pool`` holds the values that new logic may use."""

    def __init__(self, rng, m, sizes):
        self.rng = rng
        self.m = m
        self.limit = sizes["width"]
        self.sizes = sizes
        self.pool = []
        self.count = 0

    def fill(self):
        rng, sizes = self.rng, self.sizes
        steps = [self.comb_block] * sizes["statements"]
        steps += [self.ripple] * (rng.random() < 0.2)
        if sizes["registers"]:
            steps += [self.sync_block] * sizes["statements"]
            steps += [self.shift_register] * (rng.random() < 0.2)
            steps += [self.machine] * (rng.random() < 0.3)
            steps += [self.memory] * sizes["memories"]
        if sizes["levels"]:
            steps.append(self.submodule)
        if sizes["regular"]:
            steps.append(self.regular)
        rng.shuffle(steps)
        for step in steps:
            step()

    # Values

    def signal(self, shape=None, prefix="s", **options):
        self.count += 1
        shape = _shape(self.rng, self.limit) if shape is None else shape
        return Signal(shape, name=f"{prefix}{self.count}", **options)

    def constant(self, shape=None):
        shape = shape or _shape(self.rng, self.limit)
        value = extreme(self.rng, shape.width)
        return Const(
            value - (1 << shape.width) * (shape.signed and value >> shape.width - 1), shape
        )

    def leaf(self):
        if self.pool and self.rng.random() < 0.9:
            # The newest values often, so that logic grows deep.
            if self.rng.random() < 0.4:
                return self.rng.choice(self.pool[-6:])
            return self.rng.choice(self.pool)
        return self.constant()

    def value(self, depth):
        """A random expression with a width of 1 to `_WIDEST`."""
        if depth <= 0:
            return self.leaf()
        value = self.rng.choice(_EXPRESSIONS)(self, depth - 1)
        if len(value) > _WIDEST:
            start = self.rng.choice([0, 0, len(value) - _WIDEST])
            value = value[start : start + _WIDEST]
        return value if len(value) else self.leaf()

    def narrow(self, depth, width):
        """An unsigned expression of at most ``width`` bits."""
        value = self.value(depth).as_unsigned()
        if len(value) > width:
            start = self.rng.randint(0, len(value) - width)
            value = value[start : start + width]
        return value

    def condition(self, depth=1):
        value = self.value(depth)
        return value.any() if value.shape().signed or self.rng.random() < 0.5 else value

    def slice_of(self, value):
        start = self.rng.randint(0, len(value) - 1)
        return value[start : self.rng.randint(start + 1, len(value))]

    def patterns(self, width, count=2):
        def pattern():
            text = f"{extreme(self.rng, width):0{width}b}"
            blank = self.rng.choice([0, 0, 0.3, 0.8])
            return "".join("-" if self.rng.random() < blank else bit for bit in text)

        return [pattern() for _ in range(self.rng.randint(1, count))]

    # Statements

    def target(self, signals):
        """A random left-hand side made of ``signals``."""
        rng = self.rng
        signal = rng.choice(signals)
        kind = rng.random()
        if kind < 0.55:
            return signal
        if kind < 0.7:
            return self.slice_of(signal)
        # Amaranth writes a case for each position.
        if kind < 0.75 and len(signal) <= 40:
            return signal.bit_select(self.narrow(1, 6), rng.randint(1, len(signal)))
        if kind < 0.8 and len(signal) <= 40:
            return signal.word_select(self.narrow(1, 6), rng.randint(1, max(1, len(signal) // 2)))
        if kind < 0.9:
            return Cat(rng.sample(signals, min(len(signals), rng.randint(1, 3))))
        if kind < 0.95:
            return Array(rng.sample(signals, rng.randint(1, len(signals))))[self.narrow(1, 3)]
        return self.slice_of(Cat(rng.sample(signals, min(len(signals), rng.randint(1, 3)))))

    def statements(self, domain, signals, levels):
        """Assignments to ``signals``, some below conditions."""
        m, rng, depth = self.m, self.rng, self.sizes["depth"]
        for _ in range(rng.choice([1, 1, 2])):
            kind = rng.random() if levels else 0
            if kind < 0.5:
                m.d[domain] += self.target(signals).eq(self.value(depth))
            elif kind < 0.75:
                with m.If(self.condition()):
                    self.statements(domain, signals, levels - 1)
                while rng.random() < 0.4:
                    with m.Elif(self.condition()):
                        self.statements(domain, signals, levels - 1)
                if rng.random() < 0.5:
                    with m.Else():
                        self.statements(domain, signals, levels - 1)
            else:
                self.switch(domain, signals, levels - 1)

    def switch(self, domain, signals, levels):
        m, rng = self.m, self.rng
        wide = rng.random() < 0.2
        test = self.value(1).as_unsigned() if wide else self.narrow(1, rng.randint(1, 5))
        with m.Switch(test):
            for _ in range(rng.randint(1, 6)):
                kind = rng.random()
                if kind < 0.05:
                    patterns = []
                elif kind < 0.5:
                    patterns = [extreme(rng, len(test)) for _ in range(rng.randint(1, 3))]
                else:
                    patterns = self.patterns(len(test), 3)
                with m.Case(*patterns):
                    self.statements(domain, signals, levels)
            if rng.random() < 0.5:
                with m.Default():
                    self.statements(domain, signals, levels)

    def init(self, shape):
        return self.constant(shape).value

    def comb_block(self):
        rng = self.rng
        signals = []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            shape = _shape(rng, self.limit)
            init = self.init(shape) if rng.random() < 0.2 else 0
            signals.append(self.signal(shape, init=init))
        if len(signals) == 1 and rng.random() < 0.6:
            self.m.d.comb += signals[0].eq(self.value(self.sizes["depth"]))
        else:
            self.statements("comb", signals, rng.randint(1, 2))
        self.pool += signals

    def registers(self, count):
        rng = self.rng
        signals = []
        for _ in range(count):
            shape = _shape(rng, self.limit)
            init = self.init(shape) if rng.random() < 0.6 else 0
            # Amaranth's simulator clocks these at the edge of an asynchronous reset, too.
            reset_less = rng.random() < 0.2 and self.sizes["reset"] != "async"
            signals.append(self.signal(shape, prefix="r", init=init, reset_less=reset_less))
        self.pool += signals
        return signals

    def sync_block(self):
        signals = self.registers(self.rng.choice([1, 1, 2, 3]))
        if self.rng.random() < 0.3:
            with self.m.If(self.condition()):
                self.m.d.sync += signals[0].eq(self.value(self.sizes["depth"]))
        else:
            self.statements("sync", signals, self.rng.randint(0, 2))

    def shift_register(self):
        """One wide register that takes in words at one end."""
        word, count = width_up_to(self.rng, min(self.limit, 20)), self.rng.randint(2, 12)
        register = self.signal(Shape(word * count), prefix="shift")
        with self.m.If(self.condition()):
            self.m.d.sync += register.eq(Cat(register[word:], self.narrow(1, word)))
        at = self.rng.randrange(count) * word
        self.pool += [register[at : at + word], register.word_select(self.narrow(0, 4), word)]

    def ripple(self):
        """Bits of a signal that depend on lower bits of the same signal."""
        a, b = self.narrow(1, 40), self.narrow(1, 40)
        chain = self.signal(Shape(min(len(a), len(b)) + 1), prefix="ripple")
        self.m.d.comb += chain[0].eq(self.condition().any())
        for k in range(len(chain) - 1):
            self.m.d.comb += chain[k + 1].eq((a[k] & b[k]) | ((a[k] ^ b[k]) & chain[k]))
        self.pool.append(chain)

    def machine(self):
        """A state machine."""
        m, rng = self.m, self.rng
        names = [f"S{k}" for k in range(rng.randint(1, 6))]
        outputs = [self.signal() for _ in range(2)]
        registers = self.registers(1)
        with m.FSM(init=rng.choice(names), name=f"fsm{self.count}") as fsm:
            for name in names:
                with m.State(name):
                    if rng.random() < 0.6:
                        self.statements("comb", outputs, 1)
                    if rng.random() < 0.6:
                        self.statements("sync", registers, 1)
                    if rng.random() < 0.3:
                        m.next = rng.choice(names)
                    for _ in range(rng.randint(0, 2)):
                        with m.If(self.condition()):
                            m.next = rng.choice(names)
            ongoing = fsm.ongoing(rng.choice(names))
        self.pool += [*outputs, ongoing]

    def memory(self):
        m, rng = self.m, self.rng
        depth = rng.choice([1, 2, 3, 4, 5, 7, 8, 13, 16, 33])
        shape = _shape(rng, self.limit)
        init = [self.init(shape) for _ in range(rng.choice([0, depth, rng.randint(0, depth)]))]
        memory = Memory(shape=shape, depth=depth, init=init)
        self.count += 1
        m.submodules[f"memory{self.count}"] = memory
        writers = []
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            granularity = None
            if not shape.signed and rng.random() < 0.5:
                granularity = rng.choice(
                    [g for g in range(1, shape.width + 1) if shape.width % g == 0]
                )
            port = memory.write_port(granularity=granularity)
            m.d.comb += [
                port.addr.eq(self.value(1)),
                port.data.eq(self.value(1)),
                port.en.eq(self.value(1)),
            ]
            writers.append(port)
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.4:
                port = memory.read_port(domain="comb")
            else:
                transparent = [port for port in writers if rng.random() < 0.5]
                port = memory.read_port(transparent_for=transparent)
                if rng.random() < 0.5:
                    # See `wrapped`.
                    reset = ResetSignal(allow_reset_less=True)
                    m.d.comb += port.en.eq(self.condition().any() | reset)
            m.d.comb += port.addr.eq(self.value(1))
            self.pool.append(Value.cast(port.data))

    # Hierarchy

    def wrapped(self, module):
        """A module, sometimes with an enable or a further reset."""
        rng = self.rng
        # In a reset a memory's read port keeps its word if it is not enabled, but not in Amaranth's
        # simulator.
        keeps = not self.sizes["memories"]
        if rng.random() < 0.2 and (keeps or self.sizes["reset"] == "none"):
            module = EnableInserter(self.condition().any())(module)
        if rng.random() < 0.2 and keeps:
            module = ResetInserter(self.condition().any())(module)
        return module

    def submodule(self):
        rng = self.rng
        ports = _Ports.random(rng, self.limit, rng.randint(1, 3), rng.randint(1, 3))
        sizes = self.sizes | {
            "levels": self.sizes["levels"] - 1,
            "statements": rng.randint(1, 2),
            "depth": 1,
            "width": min(self.limit, 65),
            "regular": 0,
        }
        seed = rng.getrandbits(32)
        many = 3 if sizes["levels"] else 9
        for _ in range(rng.choice([1, 1, 1, 2, 3, many])):
            self.count += 1
            body = _Body(seed, ports, sizes)
            self.m.submodules[f"u{self.count}"] = self.wrapped(body)
            for name in ports.inputs:
                self.m.d.comb += getattr(body, name).eq(self.value(1))
            self.pool += [getattr(body, name) for name in ports.outputs]

    def edge(self, shape, plain):
        """A value for the edge of an array."""
        value = self.value(1)
        if plain or not self.sizes["registers"]:
            return value
        self.count += 1
        register = Signal(shape, name=f"edge{self.count}", init=self.init(shape))
        self.m.d.sync += register.eq(value)
        return register

    def regular(self):
        """Many equal elements in a chain, or in rows that are modules of their own."""
        rng = self.rng
        limit = min(self.limit, rng.choice([9, 17, 33, 65]))
        sizes = self.sizes | {"statements": rng.randint(1, 2), "width": limit, "regular": 0}
        sizes |= {"levels": 0, "memories": int(rng.random() < 0.5 and self.sizes["memories"] > 0)}
        sizes |= {"depth": 1}
        element = _ElementKind(
            seed=rng.getrandbits(32),
            across=_shape(rng, limit),
            down=_shape(rng, limit),
            back=_shape(rng, limit) if rng.random() < 0.3 else None,
            number=_shape(rng, limit) if rng.random() < 0.5 else None,
            registered=bool(sizes["registers"]) and rng.random() < 0.9,
            sizes=sizes,
        )
        rows, columns = rng.choice([(1, 8), (1, 13), (2, 4), (3, 3), (4, 5), (9, 2), (8, 3)])
        nested = rng.random() < 0.5
        grid = [
            (
                _Row(element, columns, f"u{self.count}")
                if nested
                else [element.make() for _ in range(columns)]
            )
            for _ in range(rows)
        ]
        self.count += 1
        prefix = f"array{self.count}"
        # Mostly by registers: other connections become a part of the modules, which then differ.
        plain = rng.random() < 0.2
        enable = self.edge(Shape(1), plain)
        same = rng.random() < 0.7
        numbers = [
            self.edge(element.number, plain or not same) if element.number is not None else 0
            for _ in range(columns)
        ]
        down = [self.edge(element.down, plain) for _ in range(columns)]
        for r, row in enumerate(grid):
            if nested:
                self.m.submodules[f"{prefix}_{r}"] = row
                elements = row.ports()
            else:
                for c, one in enumerate(row):
                    self.m.submodules[f"{prefix}_{r}_{c}"] = one
                elements = row
            across = self.edge(element.across, plain)
            if nested:
                self.m.d.comb += [row.across.eq(across), row.enable.eq(enable)]
                self.pool.append(row.out)
                if element.back is not None:
                    self.m.d.comb += row.back.eq(self.edge(element.back, plain))
                    self.pool.append(row.back_out)
            for c, one in enumerate(elements):
                self.m.d.comb += one.down.eq(down[c])
                if element.number is not None:
                    self.m.d.comb += one.number.eq(numbers[c] + (0 if same else r * 7))

                if not nested:
                    self.m.d.comb += [one.across.eq(across), one.enable.eq(enable)]
                    across = one.across_out
                down[c] = one.down_out
            if not nested:
                self.pool.append(across)
                if element.back is not None:
                    element.connect_back(self.m, elements, self.edge(element.back, plain))
                    self.pool.append(elements[0].back_out)
        self.pool += down
        total = Const(0, 1)
        for value in down:
            total = (total + value)[:_WIDEST]
        self.pool.append(total)


@dataclass(frozen=True)
class _ElementKind:
    """An element of an array: data flow across, down and, apart from those, back."""

    seed: int
    across: Shape
    down: Shape
    back: Shape | None
    number: Shape | None
    registered: bool
    sizes: dict

    def make(self):
        return _Element(self)

    @staticmethod
    def connect_back(m, elements, first):
        for element in reversed(elements):
            m.d.comb += element.back.eq(first)
            first = element.back_out


class _Element(wiring.Component):
    def __init__(self, kind):
        self._kind = kind
        members = {
            "across": In(kind.across),
            "across_out": Out(kind.across),
            "down": In(kind.down),
            "down_out": Out(kind.down),
            "enable": In(1),
        }
        if kind.back is not None:
            members |= {"back": In(kind.back), "back_out": Out(kind.back)}
        if kind.number is not None:
            members["number"] = In(kind.number)
        super().__init__(members)

    def elaborate(self, platform):
        kind = self._kind
        m = Module()
        rng = random.Random(f"element {kind.seed}")
        maker = _Maker(rng, m, kind.sizes)
        maker.pool = [self.across, self.down, self.enable]
        if kind.number is not None:
            maker.pool.append(self.number)
        maker.fill()
        # Combinational paths: all ways, one way, or none.
        through = rng.choice([(0, 0)] * 6 + [(1, 0), (0, 1), (1, 1)])
        for name, is_through in zip(("across_out", "down_out"), through, strict=True):
            value = maker.value(2)
            out = getattr(self, name)
            if kind.registered and not is_through:
                state = Signal.like(out, name=f"{name}_state", init=maker.init(out.shape()))
                with m.If(self.enable):
                    m.d.sync += state.eq(value)
                value = state
            m.d.comb += out.eq(value)
        if kind.back is not None:
            state = Signal.like(self.back, name="back_state")
            back = _Maker(rng, m, kind.sizes)
            back.pool = [self.back, state]
            back.count = 1000
            value = back.value(2)
            if kind.registered and rng.random() < 0.7:
                m.d.sync += state.eq(value)
                value = state
            elif kind.sizes["registers"]:
                m.d.sync += state.eq(maker.value(1))
            m.d.comb += self.back_out.eq(value)
        return m


class _Row(wiring.Component):
    """Elements in a row; their ports that go down are ports of the row."""

    def __init__(self, kind, columns, name):
        self._kind = kind
        self._columns = columns
        members = {"across": In(kind.across), "out": Out(kind.across), "enable": In(1)}
        if kind.back is not None:
            members |= {"back": In(kind.back), "back_out": Out(kind.back)}
        for c in range(columns):
            members |= {f"down{c}": In(kind.down), f"down_out{c}": Out(kind.down)}
            if kind.number is not None:
                members[f"number{c}"] = In(kind.number)
        super().__init__(members)

    def ports(self):
        return [_Column(self, c) for c in range(self._columns)]

    def elaborate(self, platform):
        m = Module()
        elements = [self._kind.make() for _ in range(self._columns)]
        across = self.across
        for c, (element, port) in enumerate(zip(elements, self.ports(), strict=True)):
            m.submodules[f"pe{c}"] = element
            m.d.comb += [
                element.across.eq(across),
                element.enable.eq(self.enable),
                element.down.eq(port.down),
                port.down_out.eq(element.down_out),
            ]
            if self._kind.number is not None:
                m.d.comb += element.number.eq(port.number)
            across = element.across_out
        m.d.comb += self.out.eq(across)
        if self._kind.back is not None:
            self._kind.connect_back(m, elements, self.back)
            m.d.comb += self.back_out.eq(elements[0].back_out)
        return m


class _Column:
    """The ports of a row that belong to one of its elements."""

    def __init__(self, row, number):
        self._row = row
        self._number = number

    def __getattr__(self, name):
        return getattr(self._row, f"{name}{self._number}")


# Expressions: functions of a `_Maker` and a depth.


def _unary(function):
    return lambda maker, depth: function(maker.value(depth))


def _binary(function):
    return lambda maker, depth: function(maker.value(depth), maker.value(depth))


def _multiply(maker, depth):
    a, b = maker.value(depth), maker.value(depth)
    return a * (b if len(a) + len(b) <= 2 * _WIDEST else b[:_WIDEST])


def _shift_left(maker, depth):
    return maker.value(depth) << maker.narrow(depth, maker.rng.choice([1, 2, 3, 4, 5, 7]))


def _shift_right(maker, depth):
    amount = maker.value(depth).as_unsigned()
    if maker.rng.random() < 0.6:
        amount = amount[: maker.rng.randint(1, min(len(amount), 6))]
    return maker.value(depth) >> amount


def _constant_shift(maker, depth):
    value, rng = maker.value(depth), maker.rng
    amount = rng.choice([0, 1, len(value) - 1, len(value), rng.randint(0, 70)])
    name = rng.choice(["shift_left", "shift_right", "rotate_left", "rotate_right"])
    return getattr(value, name)(amount)


def _mux(maker, depth):
    return Mux(maker.condition(depth), maker.value(depth), maker.value(depth))


def _cat(maker, depth):
    return Cat(maker.value(depth) for _ in range(maker.rng.randint(1, 4)))


def _replicate(maker, depth):
    value = maker.value(depth)
    return value.replicate(maker.rng.randint(1, max(1, min(9, _WIDEST // len(value)))))


def _part(maker, depth):
    # Beyond the end of a signed value Amaranth's simulator reads its sign, and its RTLIL 0.
    value, rng = Cat(maker.leaf()), maker.rng
    offset = maker.narrow(depth, rng.choice([1, 3, 5, 8]))
    if rng.random() < 0.5:
        return value.bit_select(offset, rng.randint(1, len(value)))
    return value.word_select(offset, rng.randint(1, max(1, len(value) // 2)))


def _array(maker, depth):
    elements = [maker.value(depth) for _ in range(maker.rng.randint(1, 6))]
    return Value.cast(Array(elements)[maker.narrow(depth, 3)])


def _matches(maker, depth):
    value = maker.value(depth)
    return value.matches(*maker.patterns(len(value), 3))


def _with_constant(maker, depth):
    value = maker.value(depth)
    constant = maker.constant(value.shape() if maker.rng.random() < 0.5 else None)
    operator = maker.rng.choice(_ARITHMETIC + _COMPARISONS)
    return operator(value, constant) if maker.rng.random() < 0.7 else operator(constant, value)


_BITWISE = [lambda a, b: a & b, lambda a, b: a | b, lambda a, b: a ^ b]
_ARITHMETIC = [
    *_BITWISE,
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b if len(a) + len(b) <= 2 * _WIDEST else a + b,
    lambda a, b: a // b,
    lambda a, b: a % b,
]
_COMPARISONS = [
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
]
_EXPRESSIONS = [
    *(_binary(function) for function in _ARITHMETIC[:5] + _COMPARISONS),
    *(_binary(function) for function in _ARITHMETIC[:5]),
    _binary(lambda a, b: a // b),
    _binary(lambda a, b: a % b),
    _unary(lambda a: ~a),
    _unary(lambda a: -a),
    _unary(abs),
    _unary(lambda a: a.bool()),
    _unary(lambda a: a.any()),
    _unary(lambda a: a.all()),
    _unary(lambda a: a.xor()),
    _unary(lambda a: a.as_signed()),
    _unary(lambda a: a.as_unsigned()),
    lambda maker, depth: maker.slice_of(maker.value(depth)),
    lambda maker, depth: maker.slice_of(maker.value(depth)),
    lambda maker, depth: maker.slice_of(maker.value(depth)).as_signed(),
    _multiply,
    _multiply,
    _shift_left,
    _shift_right,
    _shift_right,
    _constant_shift,
    _constant_shift,
    _mux,
    _mux,
    _cat,
    _cat,
    _replicate,
    _part,
    _part,
    _array,
    _matches,
    _with_constant,
    _with_constant,
    _with_constant,
]
