"""Compiled designs: what they are made of, how they are made, and how they are kept."""

import functools
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import llvmlite
import numpy as np

from hwsim.rtl.once import convert
from hwsim.version import __version__

from . import cache, machine
from .codegen import Layout, Place, generate, loops
from .ir import without_collection
from .ranges import Ranges
from .reroll import reroll
from .schedule import Effect, Schedule, varying
from .simulation import Simulation

__all__ = ["Program", "compile_component", "compile_graph", "compile_rtlil"]

ALL = "all"
LANES = range(1, 1025)


@dataclass(eq=False)
class Program:
    """A compiled design. Everything in it can be written to a file.

    Members
    -------
    lanes : int
        Stimuli side by side.
    inputs, outputs : dict of str to Place
        Ports; outputs lie there after ``settle``.
    signals : list of (list of str, dict of str to Place, list of dict or None)
        For each module body the paths of its instances, by name the place of each signal that can
        be observed, and for each instance the names that it has for some of these, if it has any.
    states : list of (str, Place, int or None)
        Registers and memories, all that a simulation is besides buffers: places, and the instance,
        unless it is all of them.
    buffers : dict of str to (int, bool)
        Width of a word, and whether all lanes share it.
    checks : list of (str, str, Place)
        Message and source of each assertion, and its flags.
    size : int
        Bytes of the arena.
    halt : int
        Offset of the byte that assertions set.
    image : bytes
        Initial content of the arena, compressed.
    code : bytes
        An object file.
    """

    lanes: int
    inputs: dict[str, Place]
    outputs: dict[str, Place]
    signals: list
    states: list[tuple[str, Place, int | None]]
    buffers: dict[str, tuple[int, bool]]
    checks: list[tuple[str, str, Place]]
    padded_lanes: int
    size: int
    halt: int
    image: bytes = field(repr=False)
    code: bytes = field(repr=False)

    def simulation(self):
        """A `Simulation`, at the start."""
        return Simulation(self)

    def paths(self, start=""):
        """Signals that can be observed and whose path begins with ``start``."""
        return [
            prefix + name
            for prefixes, table, renamed in self.signals
            for instance, prefix in enumerate(prefixes)
            if prefix.startswith(start[: len(prefix)])
            for name in _own_names(table, renamed[instance] if renamed else None)
            if (prefix + name).startswith(start)
        ]

    def to_bytes(self):
        """For a file."""
        facts = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name not in _BINARY
        }
        text = json.dumps(facts, default=_plain).encode()
        parts = [text, self.image, self.code]
        head = np.array([len(part) for part in parts], "<u8").tobytes()
        return head + b"".join(parts)

    @classmethod
    def from_bytes(cls, data):
        """What `to_bytes` gave."""
        sizes = np.frombuffer(data[:24], "<u8").astype(int)
        ends = 24 + np.cumsum(sizes)
        text, image, code = (
            data[e - s : e] for s, e in zip(sizes.tolist(), ends.tolist(), strict=True)
        )
        facts = json.loads(text)

        def places(table):
            return {name: Place(*place) for name, place in table.items()}

        facts["inputs"] = places(facts["inputs"])
        facts["outputs"] = places(facts["outputs"])
        facts["signals"] = [(paths, places(t), renamed) for paths, t, renamed in facts["signals"]]
        facts["states"] = [(name, Place(*p), k) for name, p, k in facts["states"]]
        facts["buffers"] = {n: tuple(b) for n, b in facts["buffers"].items()}
        facts["checks"] = [(message, source, Place(*p)) for message, source, p in facts["checks"]]
        return cls(**facts, image=image, code=code)


_BINARY = ("image", "code")


def _plain(place):
    return [place.offset, place.width, place.count, place.lanes, place.depth, place.pitch]


def compile_component(component, *, name="top", lanes=1, observe=(), uniform=()):
    """A program of an Amaranth component; see `compile_rtlil`."""
    text = convert(component, name=name)
    return compile_rtlil(text, f"\\{name}", lanes=lanes, observe=observe, uniform=uniform)


@without_collection()
def compile_rtlil(text, top, *, lanes=1, observe=(), uniform=()):
    """A program of a design in RTLIL, from the cache if it was made before.

    Parameters
    ----------
    text : str
    top : str
        Name of the top module.
    lanes : int
        Independent stimuli, 1 to 1024.
    observe : sequence of str, or "all"
        Paths of signals to observe, besides the top's ports and what registers hold; ``scope.*``
        for all within an instance.
    uniform : collection of str
        Inputs of the top that always have one value for all lanes, which makes for faster code.

    Raises
    ------
    UnsupportedDesign
        See `frontend`.
    KeyError
        For a path that is no signal.
    """
    from .frontend import graph_of_rtlil
    from .simplify import simplify

    _check_lanes(lanes)
    observe = observe if observe == ALL else list(observe)
    options = (lanes, observe, sorted(uniform))
    versions = (__version__, _revision(), llvmlite.__version__, *machine.cpu())
    key = cache.digest(text, top, json.dumps(options), *versions)
    content = cache.load(key)
    if content is not None:
        return Program.from_bytes(content)
    # What is alike stays alike where it is to be rolled up again.
    graph = simplify(graph_of_rtlil(text, top), regular=lanes == 1)
    program = compile_graph(graph, lanes=lanes, observe=observe, uniform=uniform)
    if cache.folder() is not None:
        cache.save(key, program.to_bytes())
    return program


@functools.cache
def _revision():
    """Says which compiler this is, also between versions."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return cache.digest(*(file.read_text() for file in files))


@without_collection()
def compile_graph(graph, *, lanes=1, observe=(), uniform=()):
    """A program of a graph; see `compile_rtlil`."""
    _check_lanes(lanes)
    if unknown := sorted(set(uniform) - set(graph.inputs)):
        raise KeyError(f"the design has no input {unknown[0]}")
    vector = machine.vector()
    padded = _padded(lanes, vector)
    _separate_stores(graph, uniform)
    names = list(_names(graph))
    original = [*graph.registers, *graph.memories]
    observed = _select(names, observe, graph.renamed)
    new, moved = reroll(graph, observed) if padded == 1 else (lambda node: node, {})
    selected, observed = set(observed), [new(node) for node in observed]
    effects = {"cycle": _changes(graph), "settle": _shown(graph, observed)}
    schedules = {
        name: Schedule(graph, padded, items, vector=vector, uniform=uniform)
        for name, items in effects.items()
    }
    roots = [*graph.roots(), *(root for s in schedules.values() for root in s.roots())]
    ranges = Ranges(roots, graph.registers, graph.memories)
    layout = Layout(padded, *schedules.values())
    places = {}
    for register in graph.registers:
        places[register] = layout.place(register, register.width, register.group.count)
        layout.initial.append((places[register], [register.init]))
    for memory in graph.memories:
        place = layout.place(memory, memory.width, memory.group.count, memory.depth)
        places[memory] = place
        if memory.inits is None:
            layout.initial.append((place, memory.init))
        else:
            layout.initials.append((place, memory.inits))
    states: list[tuple[str, Place, int | None]] = []
    for state in original:
        state_now, instance = moved.get(state, (state, None))
        states.append((state.name, places[state_now], instance))
    texts = [
        generate(graph, layout, schedule, ranges, name=name, vector=vector)
        for name, schedule in schedules.items()
    ]
    texts.append(loops(layout))
    shown = {
        effect.values[0]: layout.place(effect, effect.values[0].width, effect.group.count)
        for effect in effects["settle"]
    }
    return Program(
        lanes=lanes,
        inputs={name: layout.place(n, n.width, 1) for name, n in graph.inputs.items()},
        outputs={name: shown[node] for name, node in graph.outputs.items()},
        signals=_signals(graph, names, layout, selected, shown, new, moved),
        states=states,
        buffers={buffer.name: (buffer.width, buffer.shared) for buffer in graph.buffers},
        checks=[
            (e.target.message, e.target.source, layout.place(e, 1, e.group.count))
            for e in effects["cycle"]
            if e.kind == "check"
        ],
        padded_lanes=padded,
        size=layout.size,
        halt=layout.halt,
        image=zlib.compress(layout.image().tobytes(), 1),
        code=machine.object_code("\n".join(texts)),
    )


def _check_lanes(lanes):
    if not isinstance(lanes, int) or lanes not in LANES:
        raise ValueError(f"lanes must be an integer from 1 to {LANES[-1]}, not {lanes!r}")


def _padded(lanes, vector):
    """Lanes that fill whole vectors."""
    if lanes == 1:
        return 1
    if lanes >= vector:
        return -(-lanes // vector) * vector
    return max(8, 1 << (lanes - 1).bit_length())


def _separate_stores(graph, uniform):
    """Give each lane its own content of a buffer that is stored to with what differs.

    Which values these are depends on the design: where its handshakes depend on data, so do the
    cycles of its transfers.
    """
    while True:
        differ = varying(graph, uniform)
        wrong = {
            store.buffer
            for store in graph.stores
            if store.buffer.shared
            and not differ.isdisjoint((store.address, store.data, store.enable))
        }
        if not wrong:
            return
        for buffer in wrong:
            buffer.shared = False


def _changes(graph):
    """What a clock edge does."""
    effects = [Effect("register", r, (r.next,), r.group) for r in graph.registers]
    effects += [
        Effect("write", memory, (w.address, w.data, w.enable), memory.group)
        for memory in graph.memories
        for w in memory.writes
    ]
    effects += [
        Effect("store", store, (store.address, store.data, store.enable), graph.top)
        for store in graph.stores
    ]
    effects += [
        Effect("check", check, (check.enable, check.condition), check.enable.group)
        for check in graph.checks
    ]
    stop = graph.outputs.get("stop")
    if stop is not None:
        effects.append(Effect("stop", "stop", (stop,), graph.top))
    return effects


def _shown(graph, observed):
    nodes = dict.fromkeys([*graph.outputs.values(), *observed])
    return [Effect("output", None, (node,), node.group) for node in nodes]


# Names


def _names(graph):
    """For each body ``(group, {name: node})``, names of inlined scopes joined by dots."""
    for group, body in graph.bodies.items():
        names = {}
        stack = [("", body)]
        while stack:
            prefix, scope = stack.pop()
            for name, node in scope.signals.items():
                names[prefix + name] = node
            for name, child in scope.children.items():
                if not isinstance(child, tuple):
                    stack.append((f"{prefix}{name}.", child))
        yield group, names


def _paths(group):
    return [f"{instance}." if instance else "" for instance in group.instances]


def _select(names, observe, renamed):
    """Nodes to compute for observation."""
    if observe == ALL:
        return [node for _, table in names for node in table.values() if node.op != "const"]
    found = []
    for path in observe:
        nodes = [
            node
            for group, table in names
            for node in _matching(path, group, table, renamed.get(group))
        ]
        if not nodes:
            raise KeyError(f"the design has no signal {path}")
        found += nodes
    return [node for node in found if node.op != "const"]


def _own_names(table, renamed):
    """Names that an instance has for the signals of its body."""
    if renamed is None:
        return list(table)
    own = {target: name for name, target in renamed.items()}
    return [own.get(name, name) for name in table]


def _matching(path, group, table, renamed):
    """Nodes of a body that ``path`` names, or that lie in the scope that ``scope.*`` names."""
    for instance, prefix in enumerate(_paths(group)):
        if path.endswith(".*"):
            scope = path[:-1]
            if prefix.startswith(scope):
                yield from table.values()
                return
            if scope.startswith(prefix):
                inner = scope[len(prefix) :]
                yield from (node for name, node in table.items() if name.startswith(inner))
        elif path.startswith(prefix):
            name = path[len(prefix) :]
            if renamed and renamed[instance]:
                name = renamed[instance].get(name, name)
            if name in table:
                yield table[name]


def _signals(graph, names, layout, selected, shown, new, moved):
    result = []
    for group, table in names:
        places: dict[str, Place] = {}
        for name, node in table.items():
            if node.op == "const":
                places[name] = layout.constant(node)
            elif node.op == "register" and node.attr in moved:
                register, instance = moved[node.attr]
                place = layout.place(register, node.width, register.group.count)
                places[name] = place.at(instance)
            elif node.op == "register":
                places[name] = layout.place(node.attr, node.width, group.count)
            elif node.op == "input":
                places[name] = layout.place(node, node.width, 1)
            elif node in selected:
                places[name] = shown[new(node)]
        result.append((_paths(group), places, graph.renamed.get(group)))
    return result
