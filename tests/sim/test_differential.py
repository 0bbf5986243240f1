"""The compiled engine against other simulators, on random circuits and on every unit.

Each case follows from its kind and its seed. As a command it runs thousands::

    python -m tests.sim.test_differential --kind amaranth --count 5000 --seed 1

Kinds: ``graph``, random netlists against the interpreter; ``amaranth``, components against
Amaranth's simulator; ``verilog``, text against each Verilog simulator that is installed, or those
that ``--against`` names; ``unit``, all units of the library. Verilator takes long to build
anything: ``--batch 64`` puts more circuits into one program.
"""

import argparse
import collections
import re
import sys
import time

import pytest

from tests.rtl.catalogue import _MAKERS

from .differential import amaranth_case, isolated, random_graph_case, unit_case, verilog_case
from .random_graphs import random_graph

GRAPHS = 120
CIRCUITS = 30
BATCH = 16
UNITS = sorted(_MAKERS)


@pytest.mark.parametrize("seed", range(0, GRAPHS, 10))
def test_random_graphs(seed):
    for k in range(seed, seed + 10):
        assert isolated(random_graph_case, k) is None, f"seed {k}"


@pytest.mark.parametrize("seed", range(0, CIRCUITS, 5))
def test_random_amaranth_circuits(seed):
    for k in range(seed, seed + 5):
        assert isolated(amaranth_case, k) is None, f"seed {k}"


def test_random_verilog_circuits():
    assert isolated(verilog_case, 0, BATCH, ["icarus"]) is None


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
    parser.add_argument("--against", nargs="+", help="some of the Verilog simulators; else all")
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
