"""Small netlists by hand, and their machine code against the interpreter."""

import ctypes
import mmap
import random

import numpy as np

from hwsim.sim.compiled.ir import (
    Buffer,
    Check,
    Graph,
    Group,
    Memory,
    Port,
    Register,
    Scope,
    Store,
    Write,
)
from hwsim.sim.compiled.program import compile_graph
from tests.sim.circuits import extreme
from tests.sim.interpreter import Interpreter, check

__all__ = ["Build", "Expected", "compare", "guard", "lane_values", "stimuli_of"]


class Build:
    """Makes a graph; every node that a method gives has been made in it.

    Members
    -------
    graph : Graph
    """

    def __init__(self):
        self.graph = Graph()
        self.graph.clock = "clk"

    def group(self, name, count):
        """A group whose instances are ``name0``, ``name1``, ..."""
        graph = self.graph
        group = Group(name, [f"{name}{k}" for k in range(count)])
        graph.bodies[group] = Scope(group)
        for k in range(count):
            graph.bodies[graph.top].children[f"{name}{k}"] = (group, [k])
        return group

    def input(self, name, width):
        node = self.graph.inputs[name] = self.graph.node("input", width, attr=name)
        return node

    def const(self, value, width, group=None):
        return self.graph.const(value, width, group)

    def register(self, name, width, init=0, group=None):
        """Node of a new register; `becomes` says its next value."""
        group = group or self.graph.top
        register = Register(name, width, init, group)
        self.graph.registers.append(register)
        node = self.graph.node("register", width, attr=register, group=group)
        self.graph.bodies[group].signals[name] = node
        return node

    def becomes(self, register, value, enable=None):
        """Next value of a register, which stays where ``enable`` is 0."""
        if enable is not None:
            value = self.op("mux", value.width, enable, value, register)
        register.attr.next = value

    def delay(self, name, value, enable=None, init=0):
        """A register of another node's value."""
        register = self.register(name, value.width, init, value.group)
        self.becomes(register, value, enable)
        return register

    def counter(self, name, width, step=1, init=0, group=None):
        register = self.register(name, width, init, group)
        self.becomes(register, self.op("add", width, register, self.const(step, width, group)))
        return register

    def memory(self, name, width, depth, init=(), group=None):
        group = group or self.graph.top
        memory = Memory(name, width, depth, list(init), group)
        self.graph.memories.append(memory)
        return memory

    def read(self, memory, address):
        return self.graph.node("read", memory.width, (address,), memory)

    def write(self, memory, address, data, enable):
        memory.writes.append(Write(address, data, enable))

    def buffer(self, name, width, *, shared=False):
        buffer = Buffer(name, width, shared)
        self.graph.buffers.append(buffer)
        return buffer

    def load(self, buffer, address):
        return self.graph.node("load", buffer.width, (address,), buffer)

    def store(self, buffer, address, data, enable):
        self.graph.stores.append(Store(buffer, address, data, enable))

    def check(self, message, enable, condition, source="file.v:1"):
        self.graph.checks.append(Check(message, enable, condition, source))

    def op(self, op, width, *args, attr=None):
        return self.graph.node(op, width, args, attr)

    def fit(self, node, width, signed=False):
        """A node of this width: the low bits, or extended."""
        if node.width > width:
            return self.op("slice", width, node, attr=0)
        if node.width < width:
            return self.op("sext" if signed else "zext", width, node)
        return node

    def port(self, group, sources):
        """A node that shows ``sources[k]``, a node and its instance, to instance k."""
        sources = [s if isinstance(s, tuple) else (s, 0) for s in sources]
        self._ports = getattr(self, "_ports", 0) + 1
        width = sources[0][0].width
        return self.graph.node("port", width, attr=Port(f"p{self._ports}", sources), group=group)

    def output(self, name, node):
        self.graph.outputs[name] = node

    def outputs_of(self, name, node):
        """An output for each instance of a node."""
        for k in range(node.group.count):
            port = node
            if node.group is not self.graph.top:
                port = self.port(self.graph.top, [(node, k)])
            self.output(f"{name}{k}", port)

    def name(self, name, node):
        """Make a node a signal that can be observed."""
        self.graph.bodies[node.group].signals[name] = node


def _any(rng, width):
    return rng.getrandbits(width)


def stimuli_of(graph, cycles, seed, number=3):
    """Random rows of inputs, for some stimuli."""
    rng = random.Random(f"stimuli {seed}")
    return [
        [
            {
                name: extreme(rng, node.width)
                if rng.random() < 0.3
                else rng.getrandbits(node.width)
                for name, node in graph.inputs.items()
            }
            for _ in range(cycles)
        ]
        for _ in range(number)
    ]


class Expected:
    """What the interpreter makes of a graph: signals and outputs, per stimulus and cycle."""

    def __init__(self, graph, stimuli, contents=None):
        check(graph)
        self.rows = []
        self.buffers = [
            {name: list(words) for name, words in (contents or {}).items()} for _ in stimuli
        ]
        self.violations = []
        for stimulus, buffers in zip(stimuli, self.buffers, strict=True):
            interpreter = Interpreter(graph, buffers, observe=True)
            rows = []
            for row in stimulus:
                outputs = interpreter.step(row)
                rows.append(interpreter.signals() | outputs)
            self.rows.append(rows)
            self.violations.append([cycle for cycle, _, _ in interpreter.violations])


def lane_values(program, value):
    """What `peek` gives, as a list."""
    return [value] if program.lanes == 1 else list(value)


def guard(simulation):
    """Put the state of a simulation right before memory that must not be touched."""
    page = mmap.PAGESIZE
    size = simulation.program.size
    pages = -(-(size + 64) // page)
    block = mmap.mmap(-1, (pages + 1) * page)
    memory = np.frombuffer(block, np.uint8)
    end = pages * page
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(memory.ctypes.data + end), page, 0) == 0
    arena = memory[end - size - 64 : end]
    arena[: size + 8] = simulation._arena
    simulation._arena = arena


def compare(graph, lanes, *, cycles=12, seed=0, uniform=(), contents=None, observe="all"):
    """Assert that machine code does what the interpreter does, and give the `Program`.

    One simulation is looked at in each cycle, one at the end alone. Reading far beyond the state
    ends the process. The graph is consumed.
    """
    stimuli = stimuli_of(graph, cycles, seed, 1 if lanes == 1 else 3)
    for stimulus in stimuli[1:]:
        for row, first in zip(stimulus, stimuli[0], strict=True):
            row.update({name: first[name] for name in uniform})
    which = [k % len(stimuli) for k in range(lanes)]
    expected = Expected(graph, stimuli, contents)
    program = compile_graph(graph, lanes=lanes, observe=observe, uniform=uniform)
    names = [*program.outputs]
    if observe == "all":
        names = list(expected.rows[0][0])
    for watched in (True, False):
        simulation = program.simulation()
        guard(simulation)
        for name, words in (contents or {}).items():
            simulation.buffers[name] = np.array(words, np.uint64)
        for cycle in range(cycles):
            for name in graph.inputs:
                values = [stimuli[k][cycle][name] for k in which]
                simulation.poke(name, values[0] if name in uniform or lanes == 1 else values)
            if watched or cycle == cycles - 1:
                for name in names:
                    got = lane_values(program, simulation.peek(name))
                    wanted = [expected.rows[k][cycle][name] for k in which]
                    assert got == wanted, (
                        f"seed {seed}, {lanes} lanes, cycle {cycle}, {name}, watched: {watched}"
                    )
            assert simulation.step() == 1
        for name in contents or {}:
            array = simulation.buffers[name]
            for lane, k in enumerate(which if array.ndim == 2 else which[:1]):
                got = (array[:, lane] if array.ndim == 2 else array).tolist()
                assert got == expected.buffers[k][name], f"seed {seed}, {name}, lane {lane}"
    return program
