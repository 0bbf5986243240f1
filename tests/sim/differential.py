"""A netlist by every stage of the compiled engine against what it should do.

`stages` gives a text for each stage that does something else: the frontend (if the outputs are
known from another simulator), `simplify`, and the machine code.
"""

import os
import pickle
import random
import re
import signal
import tempfile
import traceback

import numpy as np
from amaranth.lib.wiring import In

from hwsim.sim.compiled.program import compile_graph
from hwsim.sim.compiled.simplify import simplify
from hwsim.sim.compiled.simulation import AssertionFailed
from tests.rtl.catalogue import catalogue

from .circuits import Circuit, amaranth_circuit, extreme, stimulus
from .interpreter import Interpreter, check
from .random_graphs import random_buffers, random_graph
from .simulators import (
    amaranth,
    difference,
    graph_of,
    graphs_of_verilog,
    interpreted,
    merge,
    peek,
    poke,
    ports_of,
    same_ports,
    verilog_simulators,
)
from .verilog_circuits import verilog_circuit

__all__ = [
    "amaranth_case",
    "compare_circuit",
    "compare_graph",
    "isolated",
    "random_graph_case",
    "random_lanes",
    "streams",
    "unit_case",
    "valid_only",
    "verilog_case",
]

VALID = "__valid", "_tvalid"
LANES = (1, 1, 2, 3, 5, 8, 9, 33, 64, 70)


class Difference(AssertionError):
    """A stage does something else than it should."""


class _Expected:
    """What the netlist does under several stimuli."""

    def __init__(self, graph, stimuli, contents, observed):
        self.stimuli = stimuli
        self.start = [{name: list(words) for name, words in c.items()} for c in contents]
        self.end = [{name: list(words) for name, words in c.items()} for c in contents]
        self.outputs, self.signals, self.violations = [], [], []
        for rows, buffers in zip(stimuli, self.end, strict=True):
            interpreter = Interpreter(graph, buffers, observe=observed > 0)
            outputs, signals = [], []
            for cycle, row in enumerate(rows):
                outputs.append(interpreter.step(row))
                if cycle < observed:
                    signals.append(interpreter.signals())
            self.outputs.append(outputs)
            self.signals.append(signals)
            self.violations.append({cycle for cycle, _, _ in interpreter.violations})


def random_lanes(rng, stimuli):
    """For a random number of lanes the number of the stimulus of each."""
    lanes = rng.choice(LANES)
    return [k if k < stimuli else rng.randrange(stimuli) for k in range(lanes)]


def compare_graph(graph, stimuli, *, lanes, contents=None, observed=8, through=True):
    """Raise `Difference` where a stage does not do what the interpreter does.

    Parameters
    ----------
    graph : Graph
        It is consumed.
    stimuli : list of list of dict
        Rows of inputs, some stimuli of equal length.
    lanes : list of int
        Which stimulus each lane gets.
    contents : list of dict of name to list, or None
        Contents of buffers for each stimulus.
    observed : int
        Number of cycles in which signals in the design are compared, too.
    through : bool
        Whether machine code is made of the simplified graph.
    """
    stimuli = [[{n: row[n] for n in graph.inputs} for row in rows] for rows in stimuli]
    contents = contents or [{} for _ in stimuli]
    expected = _Expected(graph, stimuli, contents, observed)
    if through:
        graph = simplify(graph)
        try:
            check(graph)
        except AssertionError as error:
            raise Difference(f"simplify: not a netlist: {error}") from None
        _compare_interpreted(graph, expected, observed)
    _compare_compiled(graph, expected, lanes, observed)


def _compare_interpreted(graph, expected, observed):
    buffers = {name: list(words) for name, words in expected.start[0].items()}
    interpreter = Interpreter(graph, buffers, observe=observed > 0)
    for cycle, row in enumerate(expected.stimuli[0]):
        _same("simplify", cycle, expected.outputs[0][cycle], interpreter.step(row))
        if cycle < observed:
            _same("simplify", cycle, expected.signals[0][cycle], interpreter.signals())
    violations = {cycle for cycle, _, _ in interpreter.violations}
    if violations != expected.violations[0]:
        raise Difference(
            f"simplify: violations in {sorted(violations)}, not {sorted(expected.violations[0])}"
        )
    if buffers != expected.end[0]:
        raise Difference(f"simplify: buffers are {buffers}, not {expected.end[0]}")


def _same(stage, cycle, expected, got):
    if expected != got:
        for name, value in expected.items():
            if name not in got:
                raise Difference(f"{stage}: cycle {cycle}: {name} is missing")
            if got[name] != value:
                raise Difference(f"{stage}: cycle {cycle}: {name} is {got[name]}, not {value}")
        raise Difference(f"{stage}: cycle {cycle}: also has {got.keys() - expected.keys()}")


def _compare_compiled(graph, expected, lanes, observed):
    program = compile_graph(graph, lanes=len(lanes), observe="all" if observed else ())
    stage = f"compiled, {len(lanes)} lanes"
    simulation = program.simulation()
    for name, (_, shared) in program.buffers.items():
        words = [expected.start[k][name] for k in lanes]
        if len(words[0]):
            words = words[0] if shared else np.transpose(np.array(words, np.uint64))
            simulation.buffers[name] = np.array(words, np.uint64)
    cycles = len(expected.stimuli[0])
    violations = set()
    for cycle in range(cycles):
        poke(simulation, [expected.stimuli[k][cycle] for k in lanes])
        wanted = [expected.outputs[k][cycle] for k in lanes]
        if cycle < observed:
            wanted = [w | expected.signals[k][cycle] for w, k in zip(wanted, lanes, strict=True)]
        for name in wanted[0]:
            got = peek(simulation, name)
            for lane, (row, value) in enumerate(zip(wanted, got, strict=True)):
                if row[name] != value:
                    raise Difference(
                        f"{stage}: cycle {cycle}: {name} in lane {lane} is {value}, not {row[name]}"
                    )
        try:
            simulation.step()
        except AssertionFailed:
            violations.add(cycle)
    if simulation.cycles != cycles:
        raise Difference(f"{stage}: {simulation.cycles} cycles, not {cycles}")
    wanted = set().union(*(expected.violations[k] for k in lanes))
    if violations != wanted:
        raise Difference(f"{stage}: violations in {sorted(violations)}, not {sorted(wanted)}")
    for name in program.buffers:
        array = np.asarray(simulation.buffers[name])
        for lane, k in enumerate(lanes if array.ndim == 2 else lanes[:1]):
            got = [int(v) for v in (array[:, lane] if array.ndim == 2 else array)]
            if got != expected.end[k][name]:
                raise Difference(
                    f"{stage}: buffer {name} in lane {lane} is {got}, not {expected.end[k][name]}"
                )


def compare_circuit(circuit, graph, stimuli, outputs, *, lanes, observed=4):
    """Raise `Difference` where a stage does not give these outputs for the first stimulus."""
    # Without registers the clock is an input like others, and the reset may be none.
    stimuli = [[{"clk": 0} | row for row in rows] for rows in stimuli]
    found = difference(outputs, interpreted(graph, stimuli[0]))
    if found:
        cycle, name, expected, got = found
        raise Difference(f"frontend: cycle {cycle}: {name} is {got}, not {expected}\n{circuit}")
    try:
        compare_graph(graph, stimuli, lanes=lanes, observed=observed)
    except Difference as error:
        raise Difference(f"{error}\n{circuit}") from None


def random_graph_case(seed, cycles=12, through=True):
    """`compare_graph` for the random graph of a seed."""
    rng = random.Random(f"graph case {seed}")
    graph = random_graph(seed)
    check(graph)
    stimuli = [
        [{n: extreme(rng, node.width) for n, node in graph.inputs.items()} for _ in range(cycles)]
        for _ in range(3)
    ]
    contents = [random_buffers(graph, seed) for _ in stimuli]
    for buffers in contents[1:]:
        for buffer in graph.buffers:
            if not buffer.shared:
                buffers[buffer.name] = [extreme(rng, buffer.width) for _ in buffers[buffer.name]]
    observed = rng.choice([0, 4, cycles])
    lanes = random_lanes(rng, len(stimuli))
    compare_graph(
        graph, stimuli, lanes=lanes, contents=contents, observed=observed, through=through
    )


def isolated(function, *args, seconds=120):
    """Text of the error that a call raises, or None; in a process of its own, which may crash."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(seconds)
        try:
            function(*args)
            result = None
        except Difference as error:
            result = str(error)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            result = f"{type(error).__name__} at {place}: {error}"
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    _, status = os.waitpid(process, 0)
    if status:
        return f"killed by signal {status & 127}"
    return pickle.loads(data)


def amaranth_case(seed, cycles=40):
    """The random component of a seed against Amaranth's simulator."""
    circuit = amaranth_circuit(seed)
    rng = random.Random(f"amaranth case {seed}")
    stimuli = [stimulus(circuit, cycles, f"{seed} {k}") for k in range(3)]
    compare_circuit(
        circuit,
        graph_of(circuit),
        stimuli,
        amaranth(circuit, stimuli[0]),
        lanes=random_lanes(rng, len(stimuli)),
        observed=rng.choice([0, 0, 4]),
    )


def verilog_case(seed, count, against=None, cycles=40):
    """The random Verilog circuits of some seeds against Verilog simulators, all in one run."""
    circuits = [verilog_circuit(k) for k in range(seed, seed + count)]
    try:
        graphs = list(graphs_of_verilog(circuits))
    except ValueError as error:
        if count > 1:
            half = count // 2
            parts = (seed, half), (seed + half, count - half)
            _report([_problem(verilog_case, *part, against, cycles) for part in parts])
        elif "Wasm" in str(error):
            print(f"Yosys crashes on {circuits[0]}", flush=True)
        else:
            raise
        return
    batch = merge(circuits)
    rng = random.Random(f"verilog case {seed}")
    stimuli = [stimulus(batch, cycles, f"{seed} {k}") for k in range(3)]
    known = {}
    for name, run in verilog_simulators().items():
        if against is None or any(word in name for word in against):
            with tempfile.TemporaryDirectory() as folder:
                known[name] = run(batch, stimuli[0], folder)
    problems = []
    for circuit, graph in zip(circuits, graphs, strict=True):
        check(graph)
        same_ports(graph, circuit)
        own = [[_part(circuit, row) for row in rows] for rows in stimuli]
        outputs = {name: [_part(circuit, row) for row in known[name]] for name in known}
        lanes = random_lanes(rng, len(stimuli))
        observed = rng.choice([0, 0, 2])
        problems.append(_problem(_compare_verilog, circuit, graph, own, outputs, lanes, observed))
    _report(problems)


def _compare_verilog(circuit, graph, stimuli, known, lanes, observed):
    """``known`` has the outputs for the first stimulus by name of the simulator."""
    found = interpreted(graph, stimuli[0])
    for name, outputs in known.items():
        wrong = difference(outputs, found)
        if wrong:
            cycle, port, expected, got = wrong
            text = f"cycle {cycle}: {port} is {got}, but {expected} in {name}\n{circuit}"
            if not _others_agree(circuit, stimuli[0], found, name):
                raise Difference(f"frontend: {text}")
            print(f"only {name} differs: {text}", flush=True)
    compare_circuit(circuit, graph, stimuli, found, lanes=lanes, observed=observed)


def _others_agree(circuit, rows, found, name):
    """Whether there are simulators of another kind than ``name`` and all give these outputs.

    Two versions of one simulator have errors in common.
    """
    kind = name.split()[0]
    others = [run for other, run in verilog_simulators().items() if other.split()[0] != kind]
    for run in others:
        with tempfile.TemporaryDirectory() as folder:
            if difference(run(circuit, rows, folder), found):
                return False
    return bool(others)


def _problem(function, *args):
    """Text of the difference that a call raises, or None."""
    try:
        function(*args)
    except Difference as error:
        return str(error)
    return None


def _report(problems):
    """Raise all differences as one."""
    texts = [text for text in problems if text is not None]
    if texts:
        raise Difference("\n".join(texts))


def _part(circuit, row):
    """Values of a circuit's ports in those of a merged one."""
    own = f"{circuit.name}_"
    part = {name.removeprefix(own): v for name, v in row.items() if name.startswith(own)}
    return part | {name: row[name] for name in ("rst",) if name in row}


def unit_case(name, cycles=150, stalls=0.3):
    """A unit of the library, its streams fed and drained with random stalls."""
    component = catalogue(name)[name]
    ports = ports_of(component)
    inputs = {
        "__".join(map(str, path)): member.flow is In
        for path, member, _ in component.signature.flatten(component)
    }
    circuit = Circuit(
        0,
        name,
        {port: len(value) for port, value in ports.items() if inputs[port]},
        {port: len(value) for port, value in ports.items() if not inputs[port]},
        lambda: catalogue(name)[name],
    )
    rng = random.Random(f"unit case {name}")
    outputs, rows = [], []
    amaranth(circuit, streams(circuit, rng, cycles, stalls, rows, outputs), outputs)
    moved = sum(
        row[port] and out[port.replace("valid", "ready")]
        for row, out in zip(rows, outputs, strict=True)
        for port in circuit.inputs
        if port.endswith(VALID)
    )
    assert moved > cycles // 20, f"only {moved} beats went into {name}"
    graph = graph_of(circuit)
    wrong = difference(valid_only(outputs), valid_only(interpreted(graph, rows)))
    if wrong:
        cycle, port, expected, got = wrong
        raise Difference(f"frontend: cycle {cycle}: {port} is {got}, not {expected}")
    # The other stimulus is no stream: whatever comes, all do the same.
    stimuli = [rows, stimulus(circuit, cycles, name)]
    compare_graph(graph, stimuli, lanes=random_lanes(rng, len(stimuli)), observed=0)


def _valid_of(payload):
    """The port that says whether this one counts, if it is a payload."""
    return re.sub("__payload$", "__valid", re.sub("_tdata$", "_tvalid", payload))


def valid_only(outputs):
    """Outputs without payloads that are not offered.

    After a reset these are not the same in Amaranth's simulator, where it also sets what was read
    from a memory, as in RTLIL, where it does not.
    """
    return [
        {port: 0 if row.get(_valid_of(port)) == 0 else value for port, value in row.items()}
        for row in outputs
    ]


def streams(circuit, rng, cycles, stalls, rows, outputs):
    """Inputs of each cycle: a beat that is offered stays until it is taken, or a reset comes."""
    row = {port: 0 for port in circuit.inputs} | {"rst": 0}
    for cycle in range(cycles):
        row = dict(row)
        row["rst"] = int(cycle == cycles // 3)
        for port, width in circuit.inputs.items():
            if port.endswith(("__ready", "_tready")):
                row[port] = int(rng.random() >= stalls)
            elif port.endswith(VALID):
                taken = not outputs or outputs[-1][port.replace("valid", "ready")]
                if taken or rows[-1]["rst"] or not row[port]:
                    row[port] = int(rng.random() >= stalls)
                    payload = next(p for p in circuit.inputs if _valid_of(p) == port)
                    row[payload] = rng.getrandbits(circuit.inputs[payload])
            elif _valid_of(port) == port:
                row[port] = extreme(rng, width)
        rows.append(row)
        yield row
