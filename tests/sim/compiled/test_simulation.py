"""Simulations: values in and out, recordings, ends, assertions, buffers, checkpoints."""

import random
import zipfile

import numpy as np
import pytest

from hwsim.sim.compiled.program import compile_graph
from hwsim.sim.compiled.simulation import AssertionFailed, Checkpoint

from .small_graphs import Build, lane_values

WIDTHS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 191, 192, 193, 200)


def _values(peeked):
    return [peeked] if isinstance(peeked, int) else peeked.tolist()


# Poke and peek


def _echo(lanes=1, width=8):
    b = Build()
    b.output("o", b.op("not", width, b.input("x", width)))
    b.output("y", b.input("z", 3))
    return compile_graph(b.graph, lanes=lanes).simulation()


@pytest.mark.parametrize("width", WIDTHS)
def test_values_of_a_width(width):
    rng = random.Random(width)
    one, three = _echo(width=width), _echo(3, width)
    mask = (1 << width) - 1
    for value in (0, 1, mask, 1 << (width - 1), -1, -(1 << (width - 1)), rng.getrandbits(width)):
        one.poke("x", value)
        assert one.peek("o") == ~value & mask
        assert type(one.peek("o")) is int
        three.poke("x", value)
        assert three.peek("o").tolist() == [~value & mask] * 3
        three.poke("x", [value, 0, mask])
        assert three.peek("o").tolist() == [~value & mask, mask, 0]
    found = three.peek("o")
    assert found.dtype == object and found.shape == (3,)
    assert [type(value) for value in found] == [int] * 3


@pytest.mark.parametrize(
    "values",
    [
        [5, 0, 255],
        (5, 0, 255),
        np.array([5, 0, 255]),
        np.array([5, 0, -1], np.int8),
        np.array([5, 0, 255], object),
        range(5, 8),
    ],
)
def test_values_of_lanes(values):
    simulation = _echo(3)
    simulation.poke("x", values)
    assert simulation.peek("o").tolist() == [~int(value) & 255 for value in values]


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5), np.array(5), True])
def test_value_for_all_lanes(value):
    simulation = _echo(3)
    simulation.poke("x", value)
    assert simulation.peek("o").tolist() == [~int(value) & 255] * 3


@pytest.mark.parametrize("value", [256, -129, 1 << 70, np.int64(256), [0, 300, -200]])
def test_value_that_does_not_fit(value):
    simulation = _echo(3)
    simulation.poke("x", 7)
    with pytest.raises(ValueError) as caught:
        simulation.poke("x", value)
    wrong = value[1] if isinstance(value, list) else int(value)
    assert str(caught.value) == f"x takes -128 to 255, not {wrong}"
    assert simulation.peek("o").tolist() == [~7 & 255] * 3


def test_unknown_input():
    with pytest.raises(KeyError) as caught:
        _echo().poke("y", 1)
    assert caught.value.args == ("the design has no input y; its inputs are x, z",)
    with pytest.raises(KeyError) as caught:
        compile_graph(Build().graph).simulation().poke("x", 1)
    assert caught.value.args == ("the design has no input x; its inputs are none",)


def test_wrong_number_of_values():
    simulation = _echo(3)
    for values in ([], [1], [1, 2], range(4)):
        with pytest.raises(ValueError) as caught:
            simulation.poke("x", values)
        assert str(caught.value) == f"x takes one value or 3, one per lane, not {len(values)}"


def test_unknown_signal():
    simulation = _echo()
    for look in (simulation.peek, simulation.width, lambda name: simulation.record([name], 1)):
        with pytest.raises(KeyError) as caught:
            look("nope.nothing")
        assert caught.value.args == ("the design has no signal nope.nothing that can be observed",)


def test_peek_between_steps():
    b = Build()
    x = b.input("x", 8)
    b.output("sum", b.op("add", 8, x, b.delay("late", x)))
    simulation = compile_graph(b.graph).simulation()
    simulation.poke("x", 3)
    assert (simulation.peek("sum"), simulation.peek("late")) == (3, 0)
    simulation.poke("x", 5)
    assert simulation.peek("sum") == 5
    assert simulation.step() == 1
    assert (simulation.peek("sum"), simulation.peek("late")) == (10, 5)
    assert simulation.step(3) == 3 and simulation.cycles == 4


def test_two_simulations_of_a_program():
    b = Build()
    b.output("o", b.counter("c", 8))
    program = compile_graph(b.graph)
    first, second = program.simulation(), program.simulation()
    first.run(5)
    second.run(2)
    assert (first.peek("o"), second.peek("o")) == (5, 2)


# Recordings


def _wide():
    """A register and a node of each width, at the top and in a group, two of which are equal."""
    b = Build()
    group = b.group("g", 5)
    for width in WIDTHS:
        x = b.input(f"x{width}", width)
        state = b.register(f"r{width}", width, 1)
        b.becomes(state, b.op("sub", width, x, state))
        b.name(f"n{width}", b.op("xor", width, state, x))
        inner = b.register(f"r{width}", width, 0, group)
        sources = [x, state, b.const(1, width), state, x]
        b.becomes(inner, b.op("add", width, inner, b.port(group, sources)))
        b.name(f"n{width}", b.op("neg", width, inner))
        b.output(f"o{width}", b.port(b.graph.top, [(inner, 3)]))
    return b.graph


def _numbers(array):
    """Python's integers of a recording."""
    if array.ndim == 1:
        return array.tolist()
    return [sum(int(word) << 64 * k for k, word in enumerate(row)) for row in array]


@pytest.mark.parametrize(("lanes", "lane"), [(1, 0), (3, 0), (3, 2), (64, 63)])
def test_record_is_step_and_peek(lanes, lane):
    program = compile_graph(_wide(), lanes=lanes, observe="all")
    names = [*program.paths(), *program.outputs]
    assert len(names) == len(WIDTHS) * (2 + 2 * 5 + 1)
    first, second = program.simulation(), program.simulation()
    rng = random.Random(lanes)
    for _ in range(3):
        for width in WIDTHS:
            values = [rng.getrandbits(width) for _ in range(lanes)]
            first.poke(f"x{width}", values)
            second.poke(f"x{width}", values)
        found = first.record(names, 4, lane=lane)
        assert [*found] == names
        for cycle in range(4):
            for name in names:
                value = lane_values(program, second.peek(name))[lane]
                assert _numbers(found[name])[cycle] == value, (name, cycle)
            second.step()
    for width in WIDTHS:
        array = found[f"g2.n{width}"]
        if width > 64:
            assert array.dtype == np.uint64 and array.shape == (4, -(-width // 64))
        else:
            assert array.dtype.kind == "u" and array.shape == (4,)
            assert 8 * array.dtype.itemsize >= width
    assert first.cycles == second.cycles == 12
    for name in names:
        assert _values(first.peek(name)) == _values(second.peek(name))


def test_record_of_a_few():
    program = compile_graph(_wide(), observe=["n8", "g1.n100"])
    simulation = program.simulation()
    simulation.poke("x8", 5)
    found = simulation.record(["g1.n100", "n8"], 0)
    assert [(name, array.shape) for name, array in found.items()] == [
        ("g1.n100", (0, 2)),
        ("n8", (0,)),
    ]
    assert simulation.cycles == 0
    assert simulation.record(["n8"], 2)["n8"].tolist() == [1 ^ 5, 4 ^ 5]
    assert simulation.record([], 4) == {} and simulation.cycles == 6
    assert simulation.width("g1.n100") == 100


@pytest.mark.parametrize("lane", [-1, 3, 100])
def test_record_of_no_lane(lane):
    with pytest.raises(ValueError) as caught:
        _echo(3).record(["o"], 1, lane=lane)
    assert str(caught.value) == f"lane must lie in 0 to 2, not {lane}"


# The end of a run


def _until(lanes):
    """Stops, from cycle ``limit`` on."""
    b = Build()
    count, limit = b.counter("count", 8), b.input("limit", 8)
    b.output("stop", b.op("ule", 1, limit, count))
    b.output("count", count)
    return compile_graph(b.graph, lanes=lanes).simulation()


@pytest.mark.parametrize(
    ("limits", "cycles"), [([7], 8), ([0], 1), ([3, 9, 5], 10), ([4] * 64, 5), ([1] * 8 + [2], 3)]
)
def test_run_ends_when_all_lanes_stop(limits, cycles):
    for call in ("run", "step", "record"):
        simulation = _until(len(limits))
        simulation.poke("limit", limits if len(limits) > 1 else limits[0])
        if call == "record":
            found = simulation.record(["count"], 100)["count"]
            assert found.tolist() == list(range(cycles))
        else:
            assert getattr(simulation, call)(100) == cycles
        assert simulation.cycles == cycles
        assert _values(simulation.peek("count")) == [cycles] * len(limits)
        # It goes on when it is told to, a cycle at a time.
        assert simulation.run(5) == 1
        simulation.poke("limit", 200)
        assert simulation.run(5) == 5


def test_run_of_no_cycles():
    simulation = _until(1)
    assert simulation.run(0) == 0 and simulation.cycles == 0


# Assertions


def _asserting(lanes, *, where="top"):
    b = Build()
    group = b.graph.top if where == "top" else b.group("g", 5)
    x = b.input("x", 8)
    mine = x if where == "top" else b.port(group, [x, x, b.counter("c", 8), x, x])
    enable = b.input("enable", 1)
    if where != "top":
        enable = b.port(group, [enable] * 5)
    small = b.op("ult", 1, mine, b.const(10, 8, group))
    b.check("x is too large", enable, small, "file.py:12")
    odd = b.op("ne", 1, mine, b.const(99, 8, group))
    b.check("x is 99", b.const(1, 1, group), odd, "file.py:30")
    return compile_graph(b.graph, lanes=lanes).simulation()


@pytest.mark.parametrize("where", ["top", "group"])
def test_assertion(where):
    simulation = _asserting(1, where=where)
    simulation.poke("x", 50)
    assert simulation.run(4) == 4
    simulation.poke("enable", 1)
    with pytest.raises(AssertionFailed) as caught:
        simulation.run(100)
    assert str(caught.value) == "assertion violated in cycle 4: x is too large (file.py:12)"
    assert simulation.cycles == 5
    with pytest.raises(AssertionFailed, match="cycle 5: x is too large"):
        simulation.record([], 100)
    simulation.poke("x", 9)
    if where == "top":
        assert simulation.run(100) == 100
    else:
        # The counter comes to 10.
        with pytest.raises(AssertionFailed, match="cycle 10: x is too large"):
            simulation.run(100)
    simulation.poke("enable", 0)
    simulation.poke("x", 99)
    with pytest.raises(AssertionFailed, match=r": x is 99 \(file.py:30\)$"):
        simulation.run(100)


@pytest.mark.parametrize("where", ["top", "group"])
@pytest.mark.parametrize(("lanes", "lane"), [(3, 0), (3, 2), (64, 40), (100, 99)])
def test_assertion_in_a_lane(lanes, lane, where):
    simulation = _asserting(lanes, where=where)
    values = [9] * lanes
    values[lane] = 10
    simulation.poke("x", values)
    simulation.poke("enable", 1)
    with pytest.raises(AssertionFailed) as caught:
        simulation.run(3)
    assert str(caught.value) == (
        f"assertion violated in cycle 0 in lane {lane}: x is too large (file.py:12)"
    )


def test_assertion_of_all_lanes():
    b = Build()
    b.check("the end", b.const(1, 1), b.op("ne", 1, b.counter("c", 3), b.const(5, 3)), "f.v:1")
    simulation = compile_graph(b.graph, lanes=8).simulation()
    with pytest.raises(AssertionFailed) as caught:
        simulation.run(100)
    assert str(caught.value) == "assertion violated in cycle 5: the end (f.v:1)"


# Buffers


def _copying(width=8, shared=False, lanes=1):
    """Copies ``from`` to ``to``, both beyond their ends."""
    b = Build()
    index = b.counter("index", 8)
    source = b.buffer("from", width, shared=shared)
    target = b.buffer("to", width)
    word = b.load(source, index)
    b.store(target, index, word, b.input("enable", 1))
    b.output("word", word)
    return compile_graph(b.graph, lanes=lanes).simulation()


@pytest.mark.parametrize("lanes", [1, 3, 64])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("width", "kind"), [(1, "u1"), (5, "u1"), (9, "u2"), (33, "u8"), (64, "u8")]
)
def test_buffers(width, kind, shared, lanes):
    simulation = _copying(width, shared, lanes)
    rng = np.random.default_rng(width)
    shape = (7,) if shared else (7, lanes)
    words = rng.integers(0, (1 << width) - 1, shape, np.uint64, endpoint=True)
    simulation.buffers["from"] = words
    simulation.buffers["to"] = np.full(5, 1)
    words[:] = 0  # It is a copy that the design works on.
    array = simulation.buffers["from"]
    assert array.shape == shape and array.dtype == np.dtype(kind)
    target = simulation.buffers["to"]
    assert target.shape == (5, lanes) and target.dtype == np.dtype(kind)
    simulation.poke("enable", [k != 1 for k in range(lanes)] if lanes > 1 else 1)
    found = []
    for _ in range(10):
        found.append(_values(simulation.peek("word")))
        simulation.step()
    each = array[:, np.newaxis] if shared else array
    wanted = np.broadcast_to(each, (7, lanes)).tolist()
    assert found == wanted + [[0] * lanes] * 3
    enabled = [k for k in range(lanes) if k != 1 or lanes == 1]
    assert target[:, enabled].tolist() == [[row[k] for k in enabled] for row in wanted[:5]]
    if lanes > 1:
        assert target[:, 1].tolist() == [1] * 5
    # Nothing beyond the ends has changed.
    assert array.tolist() == (simulation.buffers["from"]).tolist()
    assert len(simulation.buffers["to"]) == 5


def test_buffers_are_a_mapping():
    simulation = _copying()
    assert list(simulation.buffers) == ["from", "to"] and len(simulation.buffers) == 2
    assert {name: array.shape for name, array in simulation.buffers.items()} == {
        "from": (0, 1),
        "to": (0, 1),
    }
    assert simulation.run(3) == 3 and simulation.peek("word") == 0
    with pytest.raises(KeyError) as caught:
        simulation.buffers["nope"] = [1]
    assert caught.value.args == ("the design has no buffer nope; its buffers are from, to",)
    with pytest.raises(KeyError) as caught:
        _echo().buffers["nope"] = [1]
    assert caught.value.args == ("the design has no buffer nope; its buffers are none",)


@pytest.mark.parametrize("shape", [(), (4, 2), (4, 4), (3, 4, 1)])
def test_wrong_shape_of_a_buffer(shape):
    simulation = _copying(lanes=3)
    with pytest.raises(ValueError) as caught:
        simulation.buffers["from"] = np.zeros(shape, int)
    assert str(caught.value) == (
        f"buffer from takes an array of shape (length,) or (length, 3), not {shape}"
    )


@pytest.mark.parametrize("shape", [(), (4, 1), (4, 3)])
def test_wrong_shape_of_a_shared_buffer(shape):
    simulation = _copying(shared=True, lanes=3)
    with pytest.raises(ValueError) as caught:
        simulation.buffers["from"] = np.zeros(shape, int)
    assert str(caught.value) == f"buffer from takes an array of shape (length,), not {shape}"


@pytest.mark.parametrize(("width", "low", "high"), [(1, 0, 2), (5, -1, 31), (64, -1, 5)])
def test_words_that_do_not_fit_a_buffer(width, low, high):
    simulation = _copying(width)
    simulation.buffers["from"] = [1, 0, 1]
    with pytest.raises(ValueError) as caught:
        simulation.buffers["from"] = [low, high]
    assert str(caught.value) == (
        f"buffer from takes words of 0 to {(1 << width) - 1}, not of {low} to {high}"
    )
    assert simulation.buffers["from"].ravel().tolist() == [1, 0, 1]


def test_shared_buffer_that_lanes_store_to_differently():
    b = Build()
    buffer = b.buffer("b", 8, shared=True)
    index = b.counter("index", 2)
    b.store(buffer, index, b.input("x", 8), b.const(1, 1))
    program = compile_graph(b.graph, lanes=3)
    assert program.buffers == {"b": (8, False)}
    simulation = program.simulation()
    simulation.buffers["b"] = np.zeros(4, int)
    simulation.poke("x", [7, 8, 9])
    simulation.run(2)
    assert simulation.buffers["b"].tolist() == [[7, 8, 9], [7, 8, 9], [0, 0, 0], [0, 0, 0]]


def test_shared_buffer_that_lanes_store_to_alike():
    b = Build()
    buffer = b.buffer("b", 8, shared=True)
    index = b.counter("index", 3)
    b.store(buffer, index, b.fit(index, 8), b.op("slice", 1, index, attr=0))
    program = compile_graph(b.graph, lanes=3)
    assert program.buffers == {"b": (8, True)}
    simulation = program.simulation()
    simulation.buffers["b"] = np.full(6, 99)
    simulation.run(8)
    assert simulation.buffers["b"].tolist() == [99, 1, 99, 3, 99, 5]


# Checkpoints


def _machine(lanes, *, width=8, extra=False):
    """Registers, a group, a memory, a buffer; some are equal in all lanes."""
    b = Build()
    x = b.input("x", width)
    index = b.counter("index", 3)
    memory = b.memory("m", width, 8)
    total = b.register("total", width, 3)
    b.becomes(total, b.op("add", width, total, b.op("xor", width, x, b.read(memory, index))))
    b.write(memory, b.op("sub", 3, b.const(0, 3), index), total, b.op("slice", 1, total, attr=0))
    group = b.group("g", 3)
    inner = b.register("inner", width, 1, group)
    b.becomes(inner, b.port(group, [(total, 0), (inner, 0), (inner, 1)]))
    kept = b.memory("kept", width, 2, group=group)
    b.write(kept, b.op("slice", 1, inner, attr=0), inner, b.const(1, 1, group))
    b.name("word", b.read(kept, b.op("slice", 1, inner, attr=1)))
    buffer = b.buffer("out", width)
    b.store(buffer, index, total, b.const(1, 1))
    b.output("o", b.op("xor", width, total, b.port(b.graph.top, [(inner, 2)])))
    if extra:
        b.delay("more", x)
    simulation = compile_graph(b.graph, lanes=lanes, observe="all").simulation()
    simulation.buffers["out"] = np.zeros(8, int)
    return simulation


def _poke(simulation, seed):
    rng = random.Random(seed)
    width = simulation.program.inputs["x"].width
    lanes = simulation.program.lanes
    values = [rng.getrandbits(width) for _ in range(lanes)]
    simulation.poke("x", values if lanes > 1 else values[0])
    return values


@pytest.mark.parametrize("width", [8, 70])
@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_checkpoint(lanes, width, tmp_path):
    # A word of a buffer has no more than 64 bits.
    simulation = _machine(lanes, width=min(width, 64))
    names = [*simulation.program.paths(), "o"]
    for k in range(5):
        _poke(simulation, k)
        simulation.run(3)
    checkpoint = simulation.checkpoint()
    assert checkpoint.cycles == 15
    before = simulation.buffers["out"].tolist()
    _poke(simulation, "then")
    first = simulation.record(names, 20)
    after = simulation.buffers["out"].tolist()
    assert before != after
    path = tmp_path / "state.npz"
    checkpoint.save(path)
    with zipfile.ZipFile(path) as file:
        assert "cycles.npy" in file.namelist()
    with np.load(path, allow_pickle=False) as file:
        assert all(array.dtype != object for array in file.values())
    loaded = Checkpoint.load(path)
    assert loaded.cycles == 15 and [*loaded.states] == [*checkpoint.states]
    for where in (simulation, _machine(lanes, width=min(width, 64))):
        for source in (checkpoint, loaded):
            where.restore(source)
            assert where.cycles == 15
            assert where.buffers["out"].tolist() == before
            _poke(where, "then")
            again = where.record(names, 20)
            assert all(np.array_equal(again[name], first[name]) for name in names)
            assert where.buffers["out"].tolist() == after


def test_checkpoint_is_a_copy():
    simulation = _machine(3)
    _poke(simulation, 0)
    simulation.run(3)
    checkpoint = simulation.checkpoint()
    states = {name: array.tolist() for name, array in checkpoint.states.items()}
    simulation.run(9)
    assert {name: array.tolist() for name, array in checkpoint.states.items()} == states
    simulation.restore(checkpoint)
    simulation.run(9)
    assert {name: array.tolist() for name, array in checkpoint.states.items()} == states


@pytest.mark.parametrize("lane", [0, 3, 7])
def test_lane_of_a_checkpoint(lane, tmp_path):
    many, one, others = _machine(8), _machine(1), _machine(4)
    for k in range(4):
        _poke(many, k)
        many.run(2)
    path = tmp_path / "lane.npz"
    many.checkpoint().lane(lane).save(path)
    values = _poke(many, "then")
    names = many.program.paths()
    wanted = many.record(names, 20, lane=lane)
    for target in (one, others):
        target.restore(Checkpoint.load(path))
        assert target.cycles == 8
        target.poke("x", values[lane])
        found = target.record(names, 20, lane=target.program.lanes - 1)
        for name in names:
            assert found[name].tolist() == wanted[name].tolist(), name
        assert target.buffers["out"][:, -1].tolist() == many.buffers["out"][:, lane].tolist()


def test_checkpoint_of_another_design():
    message = "the checkpoint is not one of this design"
    others = [_machine(1, extra=True), _machine(1, width=9), _echo()]
    for other in others:
        for mine, its in ((_machine(1), other), (other, _machine(1))):
            with pytest.raises(ValueError) as caught:
                mine.restore(its.checkpoint())
            assert str(caught.value) == message


@pytest.mark.parametrize(("lanes", "others"), [(1, 3), (3, 4), (8, 2), (3, 8)])
def test_checkpoint_of_other_lanes(lanes, others):
    simulation = _machine(lanes)
    _poke(simulation, 0)
    simulation.run(3)
    before = {name: _values(simulation.peek(name)) for name in simulation.program.paths()}
    with pytest.raises(ValueError) as caught:
        simulation.restore(_machine(others).checkpoint())
    assert str(caught.value) == (f"the checkpoint has {others} lanes, and the simulation {lanes}")
    # Nothing of it has been taken over.
    assert {name: _values(simulation.peek(name)) for name in before} == before
    assert simulation.cycles == 3


def test_checkpoint_of_a_program_that_has_more_in_common():
    """The same design and lanes, with an input that is equal in all lanes, and without."""
    b = Build()
    total = b.register("total", 8)
    b.becomes(total, b.op("add", 8, total, b.input("x", 8)))
    b.output("o", total)
    even = compile_graph(b.graph, lanes=3, uniform=["x"]).simulation()
    even.poke("x", 5)
    even.run(4)
    other = compile_graph(b.graph, lanes=3).simulation()
    other.restore(even.checkpoint())
    other.poke("x", [0, 1, 2])
    other.step()
    assert other.peek("o").tolist() == [20, 21, 22] and other.cycles == 5
    with pytest.raises(ValueError) as caught:
        even.restore(other.checkpoint())
    assert str(caught.value) == "the checkpoint is not one of this design"


@pytest.mark.parametrize("lane", [-1, 8, 100])
def test_no_such_lane_of_a_checkpoint(lane):
    with pytest.raises(ValueError) as caught:
        _machine(8).checkpoint().lane(lane)
    assert str(caught.value) == f"lane must lie in 0 to 7, not {lane}"
