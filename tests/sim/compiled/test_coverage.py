"""Toggle coverage, against what the recordings of all signals say."""

import random

import numpy as np
import pytest

from hwsim.sim.compiled.coverage import Coverage
from hwsim.sim.compiled.program import compile_graph

from .small_graphs import Build

WIDTHS = (1, 3, 8, 9, 24, 40, 64, 65, 100, 130)


def _graph():
    b = Build()
    group = b.group("unit", 3)
    count = b.counter("count", 7)
    for width in WIDTHS:
        x = b.input(f"x{width}", width)
        state = b.delay(f"r{width}", x)
        b.name(f"and{width}", b.op("and", width, x, state))
        b.name(f"small{width}", b.op("sub", width, b.fit(count, width), state))
        inner = b.delay(f"r{width}", b.port(group, [x, state, b.const(5, width)]))
        b.name(f"not{width}", b.op("not", width, inner))
    b.name("zero", b.const(0, 4))
    b.output("o", count)
    return b.graph


def _rows(array):
    """Integers of a recording."""
    if array.ndim == 1:
        return array.tolist()
    return [sum(int(word) << 64 * k for k, word in enumerate(row)) for row in array]


class _Toggles:
    """Bits of each signal that rose and fell, in whichever lane."""

    def __init__(self, program):
        self.names = program.paths()
        self.lanes = program.lanes
        self.last = {}
        self.rise = dict.fromkeys(self.names, 0)
        self.fall = dict.fromkeys(self.names, 0)

    def add(self, simulations, cycles):
        """Look at ``cycles`` cycles; ``simulations`` are equal, one for each lane."""
        for lane, simulation in enumerate(simulations):
            for name, array in simulation.record(self.names, cycles, lane=lane).items():
                for value in _rows(array):
                    before = self.last.get((name, lane), value)
                    self.rise[name] |= value & ~before
                    self.fall[name] |= before & ~value
                    self.last[name, lane] = value


def _poke(simulations, rng):
    for width in WIDTHS:
        lanes = simulations[0].program.lanes
        values = [rng.getrandbits(width) & rng.getrandbits(width) for _ in range(lanes)]
        for simulation in simulations:
            simulation.poke(f"x{width}", values if lanes > 1 else values[0])


@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_coverage(lanes):
    program = compile_graph(_graph(), lanes=lanes, observe="all")
    covered = program.simulation()
    simulations = [program.simulation() for _ in range(lanes)]
    coverage, toggles = Coverage(covered), _Toggles(program)
    rng = random.Random(lanes)
    for cycles in (1, 2, 0, 1, 5):
        _poke([covered, *simulations], rng)
        assert covered.cover(cycles, coverage) == cycles
        toggles.add(simulations, cycles)
        table = coverage.table
        assert [*table.columns] == ["signal", "width", "rose", "fell", "covered"]
        assert sorted(table["signal"]) == sorted(program.paths())
        for row in table.itertuples():
            rise, fall = toggles.rise[row.signal], toggles.fall[row.signal]
            assert (row.rose, row.fell) == (rise.bit_count(), fall.bit_count()), row.signal
            assert row.covered == (rise & fall).bit_count() / row.width, row.signal
            assert row.width == program.simulation().width(row.signal) if lanes == 1 else True
    assert covered.cycles == 9
    assert 0 < coverage.table["covered"].mean() < 1


def test_scope():
    program = compile_graph(_graph(), lanes=3, observe="all")
    simulation = program.simulation()
    everything, unit, none = (
        Coverage(simulation),
        Coverage(simulation, "unit1."),
        Coverage(simulation, "nope."),
    )
    rng = random.Random("scope")
    other, third = program.simulation(), program.simulation()
    for _ in range(5):
        _poke([simulation, other, third], rng)
        simulation.cover(2, everything)
        other.cover(2, unit)
        assert third.cover(2, none) == 2
    table = everything.table
    wanted = table[table["signal"].str.startswith("unit1.")].reset_index(drop=True)
    assert len(wanted) == 2 * len(WIDTHS)
    assert unit.table.equals(wanted)
    assert none.table.empty and [*none.table.columns] == [*table.columns]


def test_counter_covers_its_bits():
    b = Build()
    b.counter("count", 4)
    simulation = compile_graph(b.graph, observe="all").simulation()
    coverage = Coverage(simulation)
    shares = []
    for cycles in (1, 1, 1, 2, 4, 8):
        simulation.cover(cycles, coverage)
        (row,) = coverage.table.itertuples()
        shares.append((row.rose, row.fell, row.covered))
    # After the values 0; 1; 2; 4; 8; 0.
    assert shares == [
        (0, 0, 0.0),
        (1, 0, 0.0),
        (2, 1, 0.25),
        (3, 2, 0.5),
        (4, 3, 0.75),
        (4, 4, 1.0),
    ]
    assert np.array_equal(simulation.peek("count"), 1)
