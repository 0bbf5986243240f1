"""The compiled engine against other simulators, on random circuits and on every unit.

Each case follows from its kind and its seed. As a command it runs thousands::

    python -m tests.sim.test_differential --kind amaranth --count 5000 --seed 1

Kinds: ``graph``, random netlists against the interpreter; ``amaranth``, components against
Amaranth's simulator; ``verilog``, text against each Verilog simulator that is installed, or the one
that ``--against`` names; ``unit``, all units of the library.
"""

import argparse
import collections
import random
import re
import sys
import tempfile
import time

import pytest

from tests.rtl.catalogue import _MAKERS

from .circuits import amaranth_circuit, stimulus
from .differential import (
    Difference,
    compare_circuit,
    isolated,
    random_graph_case,
    random_lanes,
    unit_case,
)
from .random_graphs import random_graph
from .simulators import (
    amaranth,
    difference,
    graph_of,
    interpreted,
    merge,
    verilog_simulators,
)
from .verilog_circuits import verilog_circuit

GRAPHS = 60
CIRCUITS = 60
BATCH = 40
UNITS = sorted(_MAKERS)


def amaranth_case(seed, cycles=40):
    """One random component against Amaranth's simulator."""
    circuit = amaranth_circuit(seed)
    rng = random.Random(f"amaranth case {seed}")
    stimuli = [stimulus(circuit, cycles, f"{seed} {k}") for k in range(3)]
    try:
        compare_circuit(
            circuit,
            stimuli,
            amaranth(circuit, stimuli[0]),
            lanes=random_lanes(rng, len(stimuli)),
        )
    except Difference as error:
        raise Difference(f"{error}\n{circuit}") from None


def verilog_case(seed, count, against=None, cycles=40):
    """Random Verilog circuits, many in one run, against Verilog simulators."""
    circuits = {f"v{k}": verilog_circuit(k) for k in range(seed, seed + count)}
    batch = merge(list(circuits.values()))
    rng = random.Random(f"verilog case {seed}")
    stimuli = [stimulus(batch, cycles, f"{seed} {k}") for k in range(3)]
    expected = {}
    for name, run in verilog_simulators().items():
        if against is None or against in name:
            with tempfile.TemporaryDirectory() as folder:
                expected[name] = run(batch, stimuli[0], folder)
    found = interpreted(graph_of(batch), stimuli[0])
    for name, outputs in expected.items():
        wrong = {}
        for cycle, (a, b) in enumerate(zip(outputs, found, strict=True)):
            for port in a:
                if a[port] != b[port]:
                    wrong.setdefault(port.split("_")[0], (cycle, port, b[port], a[port]))
        if wrong:
            lines = [
                f"cycle {cycle}: {port} is {got}, not {want}, as {name} says\n{circuits[key]}"
                for key, (cycle, port, got, want) in wrong.items()
            ]
            raise Difference("frontend: " + "\n".join(lines))
    compare_circuit(batch, stimuli, found, lanes=random_lanes(rng, len(stimuli)), observed=2)
    return len(expected)


@pytest.mark.parametrize("seed", range(0, GRAPHS, 10))
def test_random_graphs(seed):
    for k in range(seed, seed + 10):
        assert isolated(random_graph_case, k) is None, f"seed {k}"


@pytest.mark.parametrize("seed", range(0, CIRCUITS, 5))
def test_random_amaranth_circuits(seed):
    for k in range(seed, seed + 5):
        assert isolated(amaranth_case, k) is None, f"seed {k}"


def test_random_verilog_circuits():
    assert isolated(verilog_case, 0, BATCH, "icarus") is None


@pytest.mark.parametrize("name", UNITS)
def test_unit(name):
    assert isolated(unit_case, name) is None


def main(arguments=None):
    """Run many cases; the exit status is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["graph", "amaranth", "verilog", "unit"], required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=BATCH, help="Verilog circuits in a run")
    parser.add_argument("--against", help="one of the Verilog simulators; else all")
    parser.add_argument("--raw", action="store_true", help="graphs: leave out simplify")
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.count)
    if options.kind == "graph":
        cases = [(s, (random_graph_case, s, 12, not options.raw)) for s in seeds]
    elif options.kind == "amaranth":
        cases = [(s, (amaranth_case, s)) for s in seeds]
    elif options.kind == "verilog":
        cases = [
            (s, (verilog_case, s, min(options.batch, seeds.stop - s), options.against))
            for s in seeds[:: options.batch]
        ]
    else:
        cases = [(name, (unit_case, name)) for name in UNITS]
    start = time.monotonic()
    failures = collections.defaultdict(list)
    for seed, call in cases:
        message = isolated(*call, seconds=600)
        if message is not None:
            size = len(random_graph(seed).sorted()) if options.kind == "graph" else 0
            # One line for each kind of failure, with the smallest graph first.
            kind = re.sub(r"\d[\d, ]*", "# ", message.split("\n")[0])[:70]
            failures[kind].append((size, seed, message))
            print(f"{options.kind} {seed} failed: {message[:600]}", flush=True)
    seconds = time.monotonic() - start
    failed = sum(map(len, failures.values()))
    print(f"{len(cases)} cases in {seconds:.0f} s, {failed} failed")
    for kind, found in sorted(failures.items(), key=lambda item: -len(item[1])):
        seeds_of = ", ".join(str(seed) for _, seed, _ in sorted(found)[:8])
        print(f"{len(found):5} {kind}: {seeds_of}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
