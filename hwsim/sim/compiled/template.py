"""What drives every bit of a module, and what happens at its clock edge.

A `Template` is made once for a module and used for each of its instances. Everything that drives is
brought to one form: runs of bits of wires, each with a source and the position there. A source is
a wire (its name), a constant (None), a `Logic`, a `State`, an `Input` of the module or an `Output`
of one of its sub-modules.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from .cells import Flop, Logic, flop_of, outputs_of
from .rtlil import Switch, slice_of, width_of

__all__ = [
    "Effect",
    "Input",
    "MemoryTemplate",
    "Output",
    "State",
    "Template",
    "UnsupportedDesign",
    "public",
    "source_of",
]


class UnsupportedDesign(ValueError):
    """The design has something that the compiled engine does not simulate."""


@dataclass(eq=False, slots=True)
class Input:
    """An input port of the module, by its wire."""

    wire: str


@dataclass(eq=False, slots=True)
class Output:
    """An output port of the sub-module that the cell with this index is."""

    cell: int
    port: str


@dataclass(eq=False, slots=True)
class State:
    """A register."""

    name: str
    width: int
    init: int = 0


@dataclass(eq=False, slots=True)
class Effect:
    """Something that happens in each cycle, beyond values.

    ``apply(builder, instance, nodes)`` is told the nodes of the ``operands``.
    """

    operands: list[tuple]
    apply: Callable


@dataclass(eq=False, slots=True)
class MemoryTemplate:
    """A memory; ``enables`` are the vectors of its write ports, in order of the ports."""

    name: str
    width: int
    depth: int
    offset: int
    init: list[int]
    enables: list[tuple] = field(default_factory=list)


# Cells without an effect on a simulation: texts, coverage, formal verification, timing.
_IGNORED = {"$print", "$cover", "$live", "$fair", "$scopeinfo"}
_IGNORED |= {"$specify2", "$specify3", "$specrule"}
_MEMORY_CELLS = {"$memrd", "$memrd_v2", "$memwr", "$memwr_v2", "$meminit", "$meminit_v2"}
_INTRINSICS = {"\\hwsim_load", "\\hwsim_store"}


def public(name):
    """A name without the mark that tells whether it is public."""
    return name.removeprefix("\\")


def source_of(attributes):
    """Where an object comes from, as `` at file:line``, or nothing if that is not known."""
    text = str(attributes.get("src", "")).partition("|")[0]
    if not text:
        return ""
    file, _, position = text.rpartition(":")
    # Yosys gives a range of lines and columns.
    return f" at {file}:{position.partition('.')[0].partition('-')[0]}"


class Template:
    """A module's drivers.

    Parameters
    ----------
    module : rtlil.Module
    modules : dict of name to rtlil.Module
        All modules of the design.

    Members
    -------
    drivers : dict of wire to list of (low, high, source, position)
        Sorted, and without overlap. Bits between are not driven.
    states : list of State
    effects : list of Effect
    clocks : list of (vector, description)
        What must be the design's clock.
    memories : dict of name to MemoryTemplate
    children : list of int
        Indices of the cells that are sub-modules.

    Raises
    ------
    UnsupportedDesign
        If the module has something that is not supported.
    """

    def __init__(self, module, modules):
        self.module = module
        self.drivers = {}
        self.states = []
        self.effects = []
        self.clocks = []
        self.memories = {}
        self.children = []
        self._modules = modules
        # Registers by the logic of an asynchronous reset that stands before their output.
        self._behind = {}
        for wire in module.wires.values():
            if wire.port == "inout":
                where = source_of(wire.attributes)
                raise UnsupportedDesign(
                    f"port {public(wire.name)!r}{where} is bidirectional, which is not supported"
                )
            if wire.port == "input" and wire.width:
                self._connect(((wire.name, 0, wire.width),), ((Input(wire.name), 0, wire.width),))
        _Memories(self).add()
        for index, cell in enumerate(module.cells):
            self._add_cell(index, cell)
        for process in module.processes:
            self._add_process(process)
        for left, right in module.connections:
            self._connect(left, right)
        self._sort()
        self._initialize()

    def _connect(self, left, right):
        """Let the bits of ``left`` be driven by those of ``right``."""
        if not left:
            return
        chunks = iter(right)
        rest = 0
        for wire, low, width in left:
            while width:
                if not rest:
                    source, position, rest = next(chunks, (None, 0, width))
                taken = min(width, rest)
                if wire is not None:
                    value = position & ((1 << taken) - 1) if source is None else position
                    self.drivers.setdefault(wire, []).append((low, low + taken, source, value))
                low += taken
                width -= taken
                rest -= taken
                position = position >> taken if source is None else position + taken

    def _sort(self):
        for wire, entries in self.drivers.items():
            if len(entries) > 1:
                entries.sort(key=lambda entry: entry[:2])
                if any(a[1] > b[0] for a, b in pairwise(entries)):
                    where = source_of(self.module.wires[wire].attributes)
                    raise UnsupportedDesign(
                        f"wire {public(wire)!r}{where} has several drivers, which is not supported"
                    )

    def _initialize(self):
        """Initial values, which are attributes of wires: to registers; the rest is constant."""
        for wire in self.module.wires.values():
            init = wire.attributes.get("init")
            if not init:
                continue
            gaps = []
            todo = [(wire.name, 0, wire.width, init)]
            # A loop of wires has no register; it is found where its value is asked for.
            for _ in range(1000):
                if not todo:
                    break
                name, low, width, value = todo.pop()
                at = low
                for start, end, source, position in self.drivers.get(name, ()):
                    a, b = max(start, low), min(end, low + width)
                    if a >= b:
                        continue
                    if at < a:
                        gaps.append((name, at, a, value >> (at - low)))
                    at = b
                    part = (value >> (a - low)) & ((1 << (b - a)) - 1)
                    state = self._behind.get(source, source)
                    if isinstance(state, State):
                        state.init |= part << (position + a - start)
                    elif isinstance(source, str):
                        todo.append((source, position + a - start, b - a, part))
                if at < low + width:
                    gaps.append((name, at, low + width, value >> (at - low)))
            for name, a, b, value in gaps:
                entries = self.drivers.setdefault(name, [])
                entries.append((a, b, None, value & ((1 << (b - a)) - 1)))
                entries.sort(key=lambda entry: entry[:2])

    def _add_cell(self, index, cell):
        kind = cell.type
        if kind in _MEMORY_CELLS or kind in _IGNORED:
            return
        where = source_of(cell.attributes)
        outputs = outputs_of(cell)
        if outputs is not None:
            for port, vector in outputs.items():
                left = cell.ports.get(port, ())
                for source, _, _ in vector:
                    if type(source) is Logic:
                        source.name = _name_of(left, cell)
                        source.source = where
                self._connect(left, vector)
            return
        flop = flop_of(cell)
        if flop is not None:
            self._add_flop(cell, flop)
            return
        if kind in _INTRINSICS:
            self._add_intrinsic(cell)
            return
        child = self._modules.get(kind)
        if child is not None and not child.attributes.get("blackbox"):
            self.children.append(index)
            for port, vector in cell.ports.items():
                wire = child.wires.get(f"\\{port}")
                if wire is None or wire.port is None:
                    raise UnsupportedDesign(
                        f"cell {public(cell.name)!r}{where} connects the port {port!r}, which the "
                        f"module {public(kind)!r} does not have"
                    )
                if wire.port == "output" and wire.width:
                    # A vector that is too narrow leaves bits open, one too wide undriven.
                    vector = slice_of(vector, 0, wire.width)
                    self._connect(vector, ((Output(index, f"\\{port}"), 0, wire.width),))
            return
        if kind in ("$check", "$assert", "$assume"):
            self._add_check(cell)
        elif kind == "$initstate":
            state = State(_name_of(cell.ports["Y"], cell), 1, 1)
            self.states.append(state)
            self._connect(cell.ports["Y"], ((state, 0, 1),))
            self.effects.append(Effect([], lambda b, i, _: i.set_next(state, b.const(0, 1))))
        elif kind not in ("$mem", "$mem_v2"):
            raise UnsupportedDesign(_refusal(cell, where))

    def _add_flop(self, cell, flop: Flop):
        name = _name_of(flop.output, cell)
        where = source_of(cell.attributes)
        self.add_clock(flop.clock, flop.rising, f"register {name!r}{where}")
        width = flop.width
        if not width:
            return
        state = State(name, width)
        self.states.append(state)
        self.add_register(
            state,
            ((flop.data, width, False),),
            lambda _b, _i, nodes: nodes[0],
            enable=flop.enable,
            sync_reset=flop.sync_reset,
            async_reset=flop.async_reset,
            sync_value=flop.reset_value,
            async_value=flop.reset_value,
            enable_first=flop.enable_first,
        )
        vector = self.with_async_reset(state, flop.async_reset, flop.reset_value, where)
        self._connect(flop.output, vector)

    def with_async_reset(self, state, reset, value, where):
        """The register's output, which is the reset value while the reset is active."""
        vector = ((state, 0, state.width),)
        if reset is None:
            return vector
        signal, level = reset
        constant = ((None, value, state.width),)
        lanes = [(constant if level else vector, state.width, False)]
        lanes.append((vector if level else constant, state.width, False))
        logic = Logic(
            state.width,
            lanes,
            [(signal, 1, False)],
            lambda b, lanes, whole: b.mux(whole[0], lanes[0], lanes[1]),
            name=state.name,
            source=where,
        )
        self._behind[logic] = state
        return ((logic, 0, state.width),)

    def add_register(
        self,
        state,
        operands,
        data,
        *,
        enable=None,
        sync_reset=None,
        async_reset=None,
        sync_value=0,
        async_value=0,
        enable_first=False,
    ):
        """Let the register take ``data(builder, instance, nodes)``; controls as in `Flop`."""
        controls = [control for control in (enable, sync_reset, async_reset) if control]
        all_operands = [*operands, *((vector, 1, False) for vector, _ in controls)]
        count = len(operands)

        def apply(b, instance, nodes):
            levels = iter(nodes[count:])
            held = instance.register_node(state)
            result = data(b, instance, nodes[:count])

            def where(control, a, other):
                s = next(levels)
                return b.mux(s, a, other) if control[1] else b.mux(s, other, a)

            constants = [b.const(value, state.width) for value in (sync_value, async_value)]
            if enable_first and enable and sync_reset:
                s, reset = next(levels), None
                reset = where(sync_reset, constants[0], result)
                result = b.mux(s, reset, held) if enable[1] else b.mux(s, held, reset)
            else:
                if enable:
                    result = where(enable, result, held)
                if sync_reset:
                    result = where(sync_reset, constants[0], result)
            if async_reset:
                result = where(async_reset, constants[1], result)
            instance.set_next(state, result)

        self.effects.append(Effect(all_operands, apply))

    def add_clock(self, vector, rising, what):
        """Note that ``what`` is clocked by ``vector``."""
        if not rising:
            raise UnsupportedDesign(
                f"{what} is clocked by the falling edge, which is not supported"
            )
        self.clocks.append((vector, what))

    def _add_check(self, cell):
        given, ports = cell.parameters, cell.ports
        if given.get("FLAVOR", "assert") not in ("assert", "assume"):
            return
        where = source_of(cell.attributes)
        if given.get("TRG_ENABLE"):
            polarity = given.get("TRG_POLARITY", 1)
            for k in range(width_of(ports["TRG"])):
                clock = slice_of(ports["TRG"], k, 1)
                self.add_clock(clock, polarity >> k & 1, f"assertion{where}")
        message = given.get("FORMAT", "").replace("{{", "{").replace("}}", "}")

        def apply(_b, instance, nodes):
            instance.check(message or "assertion failed", *nodes, where.removeprefix(" at "))

        self.effects.append(Effect([(ports["EN"], 1, False), (ports["A"], 1, False)], apply))

    def _add_intrinsic(self, cell):
        """Access to a buffer; see `ir.Buffer`."""
        given, ports = cell.parameters, cell.ports
        name, width, shared = given["NAME"], given["WIDTH"], bool(given.get("SHARED"))
        where = source_of(cell.attributes)
        address = ports.get("i_addr", ports.get("addr", ()))
        address = address, max(1, width_of(address)), False
        if cell.type == "\\hwsim_load":
            logic = Logic(
                width,
                [],
                [address],
                lambda b, _, whole: b.load(name, width, shared, whole[0], where),
                name=name,
                source=where,
            )
            output = ports.get("o_data", ports.get("data", ()))
            self._connect(slice_of(output, 0, width), ((logic, 0, width),))
            return
        data = ports.get("i_data", ports.get("data", ())), width, False
        enable = ports.get("i_en", ports.get("en", ())), 1, False
        self.effects.append(
            Effect(
                [address, data, enable],
                lambda b, _, nodes: b.store(name, width, shared, *nodes, where),
            )
        )

    def _add_process(self, process):
        for wire, low, width, items in _runs(process.body):
            if len(items) == 1 and type(items[0]) is tuple and items[0][0] == "=":
                right = items[0][1]
            else:
                logic = _decide(items, width)
                logic.name = public(wire)
                logic.source = source_of(process.attributes)
                right = ((logic, 0, width),)
            self._connect(((wire, low, width),), right)


_LATCH = "latch {name!r}{where} is not supported: a register needs a clock edge"
_REFUSED = {
    "$dlatch": _LATCH,
    "$adlatch": _LATCH,
    "$dlatchsr": _LATCH,
    "$sr": _LATCH,
    "$tribuf": "tristate buffer {name!r}{where} is not supported",
    "$tbuf": "tristate buffer {name!r}{where} is not supported",
    "$dffsr": "register {name!r}{where} is set and reset asynchronously, which is not supported",
    "$aldff": "register {name!r}{where} is loaded asynchronously, which is not supported",
    "$ff": "register {name!r}{where} has no clock, which is not supported",
}


def _refusal(cell, where):
    kind = cell.type
    # Gates are named like $_DLATCH_P_, those with set and reset $_DFFSR_PPP_.
    plain = "$" + kind[2:].partition("_")[0].lower() if kind.startswith("$_") else kind
    for known in (plain, plain.removesuffix("e"), plain.replace("fsre", "fsr")):
        if known in _REFUSED:
            output = cell.ports.get("Q", cell.ports.get("Y", ()))
            return _REFUSED[known].format(name=_name_of(output, cell), where=where)
    return (
        f"cell {public(cell.name)!r}{where} has the type {public(kind)!r}, "
        "which is neither a module of the design nor a supported cell"
    )


def _name_of(vector, cell):
    """A name for what a cell drives: that of a wire, a public one if there is any."""
    names = [chunk[0] for chunk in vector if chunk[0] is not None]
    return public(next((n for n in names if n[0] == "\\"), names[0] if names else cell.name))


def _runs(body):
    """Runs of bits that a process assigns: wire, low, width, and what decides their value.

    That is a list of ``("=", vector)`` and ``("?", vector, cases)`` with a list of the same kind
    for each case.
    """
    cuts: dict[str, set[int]] = {}
    todo = [body]
    while todo:
        for statement in todo.pop():
            if type(statement) is Switch:
                todo.extend(inner for _, inner in statement.cases)
            else:
                for wire, low, width in statement[0]:
                    cuts.setdefault(wire, set()).update((low, low + width))
    starts = {wire: sorted(found) for wire, found in cuts.items()}
    following = {wire: dict(pairwise(points)) for wire, points in starts.items()}
    for (wire, low), items in _distribute(body, following).items():
        yield wire, low, following[wire][low] - low, items


def _distribute(body, following):
    """Statements by the run that they assign, which is known by its wire and first bit."""
    result: dict[tuple[str, int], list] = {}
    for statement in body:
        if type(statement) is not Switch:
            left, right = statement
            at = 0
            for wire, low, width in left:
                end = low + width
                while low < end:
                    high = following[wire][low]
                    # An assignment makes those before it void.
                    result[wire, low] = [("=", slice_of(right, at, high - low))]
                    at += high - low
                    low = high
            continue
        cases = [(patterns, _distribute(inner, following)) for patterns, inner in statement.cases]
        for run in dict.fromkeys(run for _, inner in cases for run in inner):
            found = [(patterns, inner.get(run, [])) for patterns, inner in cases]
            result.setdefault(run, []).append(("?", statement.value, found))
    return result


def _decide(items, width):
    """Logic of a run of bits of a process."""
    lanes: dict[tuple, int] = {}
    whole: dict[tuple, int] = {}

    def compiled(items):
        result: list[tuple] = []
        for item in items:
            if item[0] == "=":
                result.append(("=", lanes.setdefault(item[1], len(lanes))))
                continue
            _, value, cases = item
            index = whole.setdefault(value, len(whole))
            found = []
            for patterns, inner in cases:
                patterns = [
                    p if isinstance(p, str) else whole.setdefault(p, len(whole)) for p in patterns
                ]
                found.append((patterns, compiled(inner)))
            result.append(("?", index, found))
        return result

    tree = compiled(items)
    return Logic(
        width,
        [(vector, width, False) for vector in lanes],
        [(vector, max(1, width_of(vector)), False) for vector in whole],
        lambda b, lane_nodes, whole_nodes: _value(b, tree, None, lane_nodes, whole_nodes, width),
    )


def _value(b, items, value, lanes, whole, width):
    if value is None:
        value = b.const(0, lanes[0].width if lanes else width)
    for item in items:
        if item[0] == "=":
            value = lanes[item[1]]
        else:
            cases = [
                (patterns, _value(b, inner, value, lanes, whole, width))
                for patterns, inner in item[2]
            ]
            value = _choose(b, whole[item[1]], cases, value, whole)
    return value


def _choose(b, index, cases, value, whole):
    """The value of the first case whose pattern matches, or ``value``."""
    words = _words(index.width, cases, value)
    if words is not None:
        return b.select(words, index)
    result = value
    for patterns, word in reversed(cases):
        result = b.mux(_matches(b, index, patterns, whole), word, result) if patterns else word
    return result


def _words(width, cases, value):
    """Values by index where the patterns are so many that a tree is smaller, else None."""
    numbers = {
        int(p, 2)
        for patterns, word in cases
        for p in patterns
        if isinstance(p, str) and p.strip("01") == "" and p and word is not value
    }
    if len(numbers) < 3 or 1 << width > 2 * len(numbers):
        return None
    words = [value] * (1 << width)
    for patterns, word in reversed(cases):
        if not patterns:
            words = [word] * (1 << width)
        for p in patterns:
            if not isinstance(p, str):
                return None
            if "-" in p:
                fits = [k for k in range(1 << width) if _fits(p, k, width)]
            else:
                fits = [int(p, 2)] if p.strip("01") == "" else []
            for k in fits:
                words[k] = word
    return words


def _fits(pattern, number, width):
    return all(p in ("-", d) for p, d in zip(pattern, f"{number:0{width}b}", strict=True))


def _matches(b, index, patterns, whole):
    """Whether any of the patterns matches, 1 bit."""
    result = b.const(0, 1)
    for pattern in patterns:
        if isinstance(pattern, int):
            one = b.node("eq", 1, index, b.extend(whole[pattern], index.width, False))
        elif pattern.strip("01-"):
            continue  # an undefined bit is equal to nothing
        else:
            one = b.const(1, 1)
            digits = pattern[::-1]
            low = 0
            while low < len(digits):
                high = low + 1
                if digits[low] != "-":
                    while high < len(digits) and digits[high] != "-":
                        high += 1
                    number = int(digits[low:high][::-1], 2)
                    one = b.and_(one, b.eq(b.slice(index, low, high - low), number))
                low = high
        result = b.or_(result, one)
    return result


class _Memories:
    """Adds a module's memories to its template."""

    def __init__(self, template):
        self.template = template
        self.module = template.module

    def add(self):
        """All of them."""
        ports: dict[str, dict[str, list]] = {}
        for cell in self.module.cells:
            if cell.type in _MEMORY_CELLS:
                kind = cell.type[1:].removesuffix("_v2")
                name = cell.parameters["MEMID"]
                ports.setdefault(name, {}).setdefault(kind, []).append(cell)
            elif cell.type in ("$mem", "$mem_v2"):
                self._collected(cell)
        for name, memory in self.module.memories.items():
            found = ports.pop(name, {})
            init = sorted(found.get("meminit", ()), key=lambda c: c.parameters.get("PRIORITY", 0))
            self._add(
                memory.name,
                memory.width,
                memory.size,
                memory.offset,
                self._contents(memory, init),
                [_read(cell) for cell in found.get("memrd", ())],
                [_write(cell) for cell in sorted(found.get("memwr", ()), key=_write_order)],
                source_of(memory.attributes),
            )
        if ports:
            raise ValueError(f"memory {public(next(iter(ports)))!r} is not declared")

    def _contents(self, memory, cells):
        """Initial words."""
        words = [0] * memory.size
        mask = (1 << memory.width) - 1
        for cell in cells:
            data, enable = cell.ports["DATA"], cell.ports.get("EN")
            constant = [*data, *cell.ports["ADDR"], *(enable or ())]
            if any(chunk[0] is not None for chunk in constant):
                where = source_of(cell.attributes)
                raise UnsupportedDesign(
                    f"memory {public(memory.name)!r}{where} has initial values that are not "
                    "constant, which is not supported"
                )
            first = _number(cell.ports["ADDR"]) - memory.offset
            value = _number(data)
            written = mask if enable is None else _number(enable)
            digits = value.to_bytes((value.bit_length() + 7) // 8, "little")
            for k in range(cell.parameters["WORDS"]):
                if 0 <= first + k < memory.size:
                    word = _field(digits, k * memory.width, memory.width)
                    words[first + k] = words[first + k] & ~written | word & written
        return words

    def _collected(self, cell):
        """$mem and $mem_v2: a memory with all its ports in one cell."""
        given, ports = cell.parameters, cell.ports
        where = source_of(cell.attributes)
        name = str(given.get("MEMID", cell.name))
        width, depth, bits = given["WIDTH"], given["SIZE"], given["ABITS"]
        if given.get("RD_WIDE_CONTINUATION") or given.get("WR_WIDE_CONTINUATION"):
            raise UnsupportedDesign(
                f"memory {public(name)!r}{where} has ports of several widths, which is not "
                "supported"
            )
        init = given["INIT"]
        digits = init.to_bytes((init.bit_length() + 7) // 8, "little")
        first = cell.type == "$mem"
        writes = given["WR_PORTS"]
        reads = []
        for k in range(given["RD_PORTS"]):

            def bit(key, k=k):
                return given.get(key, 0) >> k & 1

            def part(port, size, k=k):
                return slice_of(ports.get(port, ()), k * size, size)

            mask = given.get("RD_TRANSPARENCY_MASK", 0) >> (k * writes) & ((1 << writes) - 1)
            if first and bit("RD_TRANSPARENT"):
                mask = (1 << writes) - 1
            values = {
                kind: given.get(f"RD_{kind}_VALUE", 0) >> (k * width) & ((1 << width) - 1)
                for kind in ("INIT", "ARST", "SRST")
            }
            reads.append(
                _Read(
                    where,
                    part("RD_ADDR", bits),
                    part("RD_DATA", width),
                    part("RD_CLK", 1) if bit("RD_CLK_ENABLE") else None,
                    bool(bit("RD_CLK_POLARITY")),
                    part("RD_EN", 1),
                    part("RD_SRST", 1),
                    part("RD_ARST", 1),
                    mask,
                    values,
                    bool(bit("RD_CE_OVER_SRST")),
                )
            )
        writers = [
            _Write(
                where,
                slice_of(ports["WR_ADDR"], k * bits, bits),
                slice_of(ports["WR_DATA"], k * width, width),
                slice_of(ports["WR_EN"], k * width, width),
                slice_of(ports["WR_CLK"], k, 1) if given["WR_CLK_ENABLE"] >> k & 1 else None,
                bool(given["WR_CLK_POLARITY"] >> k & 1),
            )
            for k in range(writes)
        ]
        words = [_field(digits, k * width, width) for k in range(depth)]
        self._add(name, width, depth, given.get("OFFSET", 0), words, reads, writers, where)

    def _add(self, name, width, depth, offset, init, reads, writes, where):
        if not width or not depth:
            for read in reads:
                self.template._connect(read.data, ((None, 0, width_of(read.data)),))
            return
        memory = MemoryTemplate(name, width, depth, offset, init)
        memory.enables = [write.enable for write in writes]
        self.template.memories[name] = memory
        what = f"memory {public(name)!r}{where}"
        for write in writes:
            if write.clock is None:
                raise UnsupportedDesign(
                    f"{what} is written without a clock, which is not supported"
                )
            self.template.add_clock(write.clock, write.rising, what)
            operands = [
                (write.address, max(1, width_of(write.address)), False),
                (write.data, width, False),
                (write.enable, width, False),
            ]
            self.template.effects.append(
                Effect(operands, lambda _, i, nodes: i.write(memory, *nodes))
            )
        for read in reads:
            self._add_read(memory, read, writes, what)

    def _add_read(self, memory, read, writes, what):
        template = self.template
        width = memory.width
        address = read.address, max(1, width_of(read.address)), False
        if read.clock is None:
            name = public(memory.name)
            logic = Logic(width, [], [address], memory, name=name, source=read.source)
            template._connect(read.data, ((logic, 0, width),))
            return
        template.add_clock(read.clock, read.rising, what)
        state = State(_name_of(read.data, memory), width, read.values["INIT"])
        template.states.append(state)
        bypassed = [w for k, w in enumerate(writes) if read.transparency >> k & 1]
        operands = [address]
        for write in bypassed:
            operands += [
                (write.address, max(1, width_of(write.address)), False),
                (write.data, width, False),
                (write.enable, width, False),
            ]

        def data(b, instance, nodes):
            address, *others = nodes
            result = instance.read(memory, address)
            for k in range(0, len(others), 3):
                result = instance.bypass(memory, result, address, *others[k : k + 3])
            return result

        async_reset = (read.async_reset, 1) if _may_be_set(read.async_reset) else None
        template.add_register(
            state,
            operands,
            data,
            enable=(read.enable, 1) if not _is_one(read.enable) else None,
            sync_reset=(read.sync_reset, 1) if _may_be_set(read.sync_reset) else None,
            async_reset=async_reset,
            sync_value=read.values["SRST"],
            async_value=read.values["ARST"],
            enable_first=read.enable_first,
        )
        vector = template.with_async_reset(state, async_reset, read.values["ARST"], read.source)
        template._connect(read.data, vector)


@dataclass(eq=False, slots=True)
class _Read:
    """A read port; ``clock`` is None where it is asynchronous."""

    source: str
    address: tuple
    data: tuple
    clock: tuple | None
    rising: bool
    enable: tuple
    sync_reset: tuple
    async_reset: tuple
    transparency: int
    values: dict[str, int]
    enable_first: bool


@dataclass(eq=False, slots=True)
class _Write:
    """A write port with an enable for each bit."""

    source: str
    address: tuple
    data: tuple
    enable: tuple
    clock: tuple | None
    rising: bool


def _read(cell):
    given, ports = cell.parameters, cell.ports
    transparency = given.get("TRANSPARENCY_MASK", 0)
    if given.get("TRANSPARENT"):
        transparency = -1
    return _Read(
        source_of(cell.attributes),
        ports["ADDR"],
        ports["DATA"],
        ports["CLK"] if given["CLK_ENABLE"] else None,
        bool(given["CLK_POLARITY"]),
        ports.get("EN", ()),
        ports.get("SRST", ()),
        ports.get("ARST", ()),
        transparency,
        {kind: given.get(f"{kind}_VALUE", 0) for kind in ("INIT", "ARST", "SRST")},
        bool(given.get("CE_OVER_SRST", 0)),
    )


def _write(cell):
    given, ports = cell.parameters, cell.ports
    return _Write(
        source_of(cell.attributes),
        ports["ADDR"],
        ports["DATA"],
        ports["EN"],
        ports["CLK"] if given["CLK_ENABLE"] else None,
        bool(given["CLK_POLARITY"]),
    )


def _write_order(cell):
    given = cell.parameters
    return given.get("PORTID", given.get("PRIORITY", 0))


def _number(vector):
    value = at = 0
    for _, part, width in vector:
        value |= part << at
        at += width
    return value


def _field(digits, low, width):
    """Bits of a number given as bytes, lowest first; far cheaper than shifting a long one."""
    part = int.from_bytes(digits[low // 8 : (low + width + 7) // 8], "little")
    return (part >> (low % 8)) & ((1 << width) - 1)


def _is_one(vector):
    return all(chunk[0] is None and chunk[1] for chunk in vector)


def _may_be_set(vector):
    return any(chunk[0] is not None or chunk[1] for chunk in vector)
