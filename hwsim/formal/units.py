"""Benches for the streaming units, with the helper invariants that make induction succeed."""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from amaranth.hdl import Array, Cat, Const, Mux, Signal, Value, signed, unsigned

from hwsim.blocks.elementwise import AddConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.requantize import RequantizeConfig
from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig
from hwsim.blocks.stream import Frame
from hwsim.network.fixed_point import Requantize
from hwsim.rtl.delay import Delay
from hwsim.rtl.elementwise import Add
from hwsim.rtl.queue import CreditQueue, Queue
from hwsim.rtl.reshape import Concat, Fork, Resize
from hwsim.rtl.unit import advance
from hwsim.rtl.window import REGISTER_STEPS, Window

from .bench import Bench, Scoreboard, count_of, holds_if, modulo

__all__ = [
    "add_bench",
    "concat_bench",
    "credit_bench",
    "delay_bench",
    "fork_bench",
    "queue_bench",
    "resize_bench",
    "window_bench",
]


def queue_bench(depth, bits=8, queue=Queue):
    """Of a queue: the contract, and every beat once, in order."""
    config = QueueConfig(depth)
    dut = queue(unsigned(bits), config)
    bench = Bench(dut)
    enters, leaves = bench.source(dut.i), bench.sink(dut.o)
    board = _queue_board(bench, "o", dut.o, config, enters, dut.i.payload, leaves)
    _queue_invariants(bench, board, config, dut.o)
    # A beat waits no longer than the latency, and there is room for as many as the depth.
    waits = bench.before((board.count != 0) & ~leaves, "waits")
    if config.registered:
        bench.claim("o: a beat is offered after the latency", holds_if(waits, dut.o.valid))
        bench.claim("i: there is room", holds_if(board.count < depth - 1, dut.i.ready))
    else:
        bench.claim("o: a beat is offered after the latency", dut.o.valid == (board.count != 0))
        bench.claim("i: there is room", dut.i.ready == (board.count != depth))
    return bench


def credit_bench(depth, latency, bits=8, queue=CreditQueue):
    """Of a `CreditQueue` behind a pipeline of a latency: no beat finds it full."""
    config = QueueConfig(depth)
    dut = queue(unsigned(bits), config)
    bench = Bench(dut)
    m = bench.m
    m.d.comb += [
        dut.issue.eq(bench.free("issue") & dut.room),
        dut.i_payload.eq(bench.free("result", bits)),
    ]
    flight, issued = [], dut.issue
    for k in range(latency):
        later = Signal(name=f"issued_{k + 1}")
        m.d.sync += later.eq(issued)
        issued = later
        flight.append(later)
    m.d.comb += dut.i_valid.eq(issued)
    leaves = bench.sink(dut.o)
    board = _queue_board(bench, "o", dut.o, config, dut.i_valid, dut.i_payload, leaves)
    _queue_invariants(bench, board, config, dut.o, "fifo")
    credit = bench.probe.signal("credit")
    bench.claim(
        "each credit is a beat that may come", credit + count_of(flight) + board.count == depth
    )
    bench.claim("work may be issued while there is credit", dut.room == (credit != 0))
    return bench


def fork_bench(depths, bits=4, fork=Fork):
    """Of a fork: each output gets every beat once, in order, however the others stall."""
    frame = Frame(1, 1, 1, 1, bits, signed=False)
    queues = [QueueConfig(depth) for depth in depths]
    dut = fork(ForkConfig(frame=frame, outputs=len(depths)), queues)
    bench = Bench(dut)
    enters = bench.source(dut.i)
    for k, config in enumerate(queues):
        stream = getattr(dut, f"o{k}")
        leaves = bench.sink(stream, f"o{k}")
        board = _queue_board(bench, f"o{k}", stream, config, enters, dut.i.payload, leaves)
        _queue_invariants(bench, board, config, stream, f"queue_{k}")
    return bench


def concat_bench(channels, depth, concat=Concat):
    """Of a concat: beats leave in the fixed turn of the inputs, each once."""
    frames = tuple(Frame(1, 1, count, 1, 4, signed=False) for count in channels)
    config = QueueConfig(depth)
    dut = concat(ConcatConfig(frames=frames), config)
    bench = Bench(dut)
    m = bench.m
    ports = [getattr(dut, f"i{k}") for k in range(len(channels))]
    moves = [bench.source(port, f"i{k}") for k, port in enumerate(ports)]
    leaves = bench.sink(dut.o)
    turns = [k for k, count in enumerate(channels) for _ in range(count)]
    turn = Signal(range(len(turns)))
    enters = Cat(*moves).any()
    with m.If(enters):
        advance(m, turn, len(turns))
    whose = Array(turns)[turn]
    for k, move in enumerate(moves):
        bench.claim(f"i{k}: taken only in its turn", holds_if(move, whose == k))
    what = Array([Value.cast(port.payload) for port in ports])[whose]
    board = _queue_board(bench, "o", dut.o, config, enters, what, leaves)
    _queue_invariants(bench, board, config, dut.o, "queue")
    port, group = bench.probe.signal("port"), bench.probe.count("group")
    starts = [sum(channels[:k]) for k in range(len(channels))]
    bench.claim("the turn is that of port and group", turn == Array(starts)[port] + group)
    bench.claim("the port is one of them", port < len(channels))
    bench.claim("the group is one of its port", group < Array(channels)[port])
    bench.claim("the turn is one of them", turn < len(turns))
    return bench


def resize_bench(lanes, to, depth, resize=Resize):
    """Of a resize: codes keep their order, none is lost or repeated."""
    frame = Frame(1, 1, max(lanes, to), lanes, 3, signed=False)
    config = QueueConfig(depth)
    dut = resize(ResizeConfig(frame=frame, lanes=to), config)
    bench = Bench(dut)
    m = bench.m
    moves, leaves = bench.source(dut.i), bench.sink(dut.o)
    factor, width = max(lanes, to) // min(lanes, to), min(lanes, to) * frame.bits
    payload = Value.cast(dut.i.payload)
    part, place = bench.probe.signal("part"), Signal(range(factor))
    if to > lanes:
        slots = [Signal(width, name=f"slot_{k}") for k in range(factor - 1)]
        with m.If(moves):
            advance(m, place, factor)
            for k, slot in enumerate(slots):
                with m.If(place == k):
                    m.d.sync += slot.eq(payload)
        enters, what = moves & (place == factor - 1), Cat(*slots, payload)
        kept = bench.probe.signal("kept")
        for p, k in product(range(1, factor), range(factor - 1)):
            if k < p:
                moved = kept.word_select(factor - 1 - p + k, width)
                bench.claim(f"part {k} of {p} is kept", holds_if(place == p, moved == slots[k]))
    else:
        full = bench.probe.signal("queue", "level") == config.memory_depth
        enters, what = dut.i.valid & ~full, payload.word_select(place, width)
        with m.If(enters):
            advance(m, place, factor)
        bench.claim("a beat is taken with its last part", moves == (enters & (place == factor - 1)))
    bench.claim("the part is the next one", (part == place) & (place < factor))
    board = _queue_board(bench, "o", dut.o, config, enters, what, leaves)
    _queue_invariants(bench, board, config, dut.o, "queue")
    return bench


def add_bench(depth, add=Add):
    """Of an add: beats are taken in pairs, and each pair's sum leaves once, in order."""
    frame = Frame(1, 1, 1, 1, 4)
    requantize = Requantize(np.array([1]), np.array([1]), zero_point=0, minimum=-8, maximum=7)
    scaling = RequantizeConfig.of(requantize, accumulator_bits=7, bits=4)
    unit = AddConfig(frames=(frame, frame), requantize=scaling)
    config = QueueConfig(depth)
    dut = add(unit, (1, 2), requantize, queue=config)
    bench = Bench(dut)
    m = bench.m
    moves = [bench.source(port, name) for name, port in (("i0", dut.i0), ("i1", dut.i1))]
    leaves = bench.sink(dut.o)
    enters = moves[0]
    bench.claim("both inputs are taken together", moves[0] == moves[1])
    # (i0 + 2 * i1) / 2, rounded to even, within four bits.
    total = Signal(signed(7))
    m.d.comb += total.eq(dut.i0.payload[0] + 2 * dut.i1.payload[0])
    half = total[1:].as_signed() + (total[0] & total[1])
    code = Signal(signed(4))
    m.d.comb += code.eq(Mux(half > 7, 7, Mux(half < -8, -8, half)))
    board = Scoreboard(
        bench,
        "o",
        enters=enters,
        what=code,
        leaves=leaves,
        beat=dut.o.payload,
        offered=dut.o.valid,
        most=depth,
    )
    # The marked beat is in the pipeline for as long as its latency, then in the queue.
    flight = [bench.probe.signal(f"issue_{k + 1}") for k in range(unit.latency)]
    age = Signal(range(unit.latency + 2))
    with m.If(board.begins):
        m.d.sync += age.eq(1)
    with m.Elif(age <= unit.latency):
        m.d.sync += age.eq(age + 1)
    inside = age > unit.latency
    credit = bench.probe.signal("queue", "credit")
    level = board.count - count_of(flight)
    bench.claim("flights are inside", board.count >= count_of(flight))
    bench.claim("each credit is a beat that may come", credit + board.count == depth)
    for k, bit in enumerate(flight):
        before = level + count_of(flight[k + 1 :])
        bench.claim(
            f"a beat marked {k + 1} cycles ago is in the pipeline",
            holds_if(board.marked & (age == k + 1), bit & (board.ahead == before)),
        )
    bench.claim(
        "a beat marked long ago is in the queue",
        holds_if(board.marked, (age != 0) & (~inside | (board.ahead < level))),
    )
    _queue_invariants(
        bench, board, config, dut.o, "queue", "fifo", count=level, marked=board.marked & inside
    )
    return bench


def delay_bench(steps, lines=1, bits=4, delay=Delay):
    """Of a delay line: what comes out went in so many steps ago."""
    dut = delay(bits, steps, lines)
    bench = Bench(dut)
    m = bench.m
    what = Signal(bits * lines)
    m.d.comb += [dut.en.eq(bench.free("en")), what.eq(bench.free("i_beat", bits * lines))]
    m.d.comb += [Cat(dut.i).eq(what)]
    age, kept = Signal(range(steps + 1)), Signal(bits * lines)
    with m.If(dut.en):
        with m.If((age == 0) | (age == steps)):
            m.d.sync += [age.eq(bench.free("mark")), kept.eq(what)]
        with m.Else():
            m.d.sync += age.eq(age + 1)
    bench.claim("o: what went in", holds_if(age == steps, Cat(dut.o) == kept))
    bench.happens("a marked value comes out", age == steps)
    bench.claim("the age is that of a value inside", age <= steps)
    _ring_invariants(bench, steps, [(age, age != 0)], [kept])
    return bench


def window_bench(config, window=Window):
    """Of a window: every tap is the pixel that the geometry says, or padding.

    Any one beat can be marked when it enters; each window that it belongs to has it where it
    should. A window leaves only when all its pixels have entered.
    """
    frame, groups = config.frame, config.frame.groups
    dut = window(config)
    bench = Bench(dut)
    m = bench.m
    moves, leaves = bench.source(dut.i), bench.sink(dut.o)
    height, width = frame.height, frame.width
    arrived = _Raster(m, "arrived", (height, width, groups), moves)
    left = _Raster(m, "left", (*config.shape, groups), leaves)
    # The marked beat: what, where, and in which frame.
    kept = Signal(len(Value.cast(dut.i.payload)))
    marked, place, number = Signal(), _Place("marked", arrived), Signal(2)
    mark = bench.free("mark")
    with m.If(leaves & left.at_end & marked & (number == left.frame)):
        m.d.sync += marked.eq(0)
    with m.Elif(moves & mark & ~marked):
        m.d.sync += [marked.eq(1), kept.eq(dut.i.payload), number.eq(arrived.frame)]
        m.d.sync += place.take()
    mine = marked & (number == left.frame)
    y, x = left.counters[:2]
    taps = Value.cast(dut.o.payload)
    for k, (a, b) in enumerate(product(range(config.kernel[0]), range(config.kernel[1]))):
        tap = taps.word_select(k, len(kept))
        # Where the tap reads, plus the padding, so that no number is negative.
        row = y * config.strides[0] + a * config.dilations[0]
        column = x * config.strides[1] + b * config.dilations[1]
        top, near = config.pads[:2]
        if config.mode == "edge":
            row = Mux(row < top, top, Mux(row >= top + height, top + height - 1, row))
            column = Mux(column < near, near, Mux(column >= near + width, near + width - 1, column))
        inside = (row >= top) & (row < top + height) & (column >= near) & (column < near + width)
        here = (row == place.values[0] + top) & (column == place.values[1] + near)
        here &= left.counters[2] == place.values[2]
        bench.claim(
            f"o: tap {a}, {b} is the marked beat where that is its pixel",
            holds_if(dut.o.valid & mine & inside & here, tap == kept),
        )
        bench.happens(f"tap {a}, {b} is a marked beat", leaves & mine & inside & here)
        codes = Const.cast(
            Cat(*[Const(config.pad_value & ((1 << frame.bits) - 1), frame.bits)] * frame.lanes)
        )
        bench.claim(
            f"o: tap {a}, {b} is padding outside the map",
            holds_if(dut.o.valid & ~inside, tap == codes),
        )
    behind = (arrived.frame - left.frame)[:2]
    needed = Array(_last_needed(config))[left.position]
    bench.claim(
        "o: a window leaves when its pixels have entered",
        holds_if(dut.o.valid, (behind == 1) | ((behind == 0) & (arrived.position > needed))),
    )
    bench.claim("no more than a frame is inside", behind <= 1)
    if config.rows == height and config.columns == width:
        begins = Signal()
        m.d.comb += begins.eq(moves & mark & ~marked)
        beat = _Beat(marked, kept, place, number, begins)
        _window_invariants(bench, config, dut.o.valid, arrived, left, beat)
    return bench


def _queue_board(bench, name, stream, config, enters, what, leaves):
    return Scoreboard(
        bench,
        name,
        enters=enters,
        what=what,
        leaves=leaves,
        beat=stream.payload,
        offered=stream.valid,
        most=config.depth,
    )


def _queue_invariants(bench, board, config, stream, *path, count=None, marked=None):
    """What ties the registers of a `Queue` to the beats that are inside."""
    depth = config.memory_depth
    count = board.count if count is None else count
    marked = board.marked if marked is None else marked
    name = ".".join(path) or "queue"
    write, level = bench.probe.count(*path, "write_index"), bench.probe.signal(*path, "level")
    read = bench.probe.count(*path, "read_index")
    held = stream.valid if config.registered else Const(0, 1)
    bench.claim(f"{name}: the indices lie in the memory", (write < depth) & (read < depth))
    bench.claim(f"{name}: the level counts the beats", (level + held == count) & (level <= depth))
    waiting = bench.probe.signal(*path, "waiting")
    bench.claim(f"{name}: beats wait unless the level is 0", waiting == (level != 0))
    bench.claim(
        f"{name}: the level is what lies between the indices",
        write == modulo(read + Mux(level == depth, 0, level), depth),
    )
    word = bench.word(modulo(read + board.ahead - held, depth), *path, "storage")
    bench.claim(
        f"{name}: the memory holds the marked beat",
        holds_if(marked & ((board.ahead != 0) | ~held), word == board.kept),
    )


def _ring_invariants(bench, steps, ages, kept, *path):
    """What ties the memory of a `Delay` to marked values.

    ``ages`` has for each of its lines how many steps ago a value went in, and whether one did;
    ``kept`` what went in.
    """
    probe, depth, name = bench.probe, steps - 1, ".".join(path) or "delay"
    newest, index = probe.signal(*path, "newest"), probe.signal(*path, "index")
    bench.claim(f"{name}: the index lies in the ring", newest < depth)
    bench.claim(f"{name}: the second oldest entry is read next", index == modulo(newest + 1, depth))
    read = probe.signal(*path, "read__data")
    for k, ((age, there), what) in enumerate(zip(ages, kept, strict=True)):
        since = Signal(range(steps), name=f"{name.replace('.', '_')}_since_{k}")
        bench.m.d.comb += since.eq(Mux(there & (age < depth), age, 0))
        word = bench.word(modulo(newest + depth - since, depth), *path, "ring")
        bench.claim(
            f"{name}: the ring holds the marked value",
            holds_if(since != 0, word.word_select(k, len(what)) == what),
        )
        bench.claim(
            f"{name}: the marked value is read",
            holds_if(there & (age == depth), read.word_select(k, len(what)) == what),
        )


class _Raster:
    """Counts beats of frames: the position of the next one, and the number of its frame."""

    def __init__(self, m, name, sizes, moves):
        self.sizes = sizes
        self.counters = [
            Signal(range(size), name=f"{name}_{axis}")
            for axis, size in zip(("row", "column", "group"), sizes, strict=True)
        ]
        self.position = Signal(range(sizes[0] * sizes[1] * sizes[2]), name=f"{name}_position")
        self.frame = Signal(2, name=f"{name}_frame")
        self.at_end = self.position == sizes[0] * sizes[1] * sizes[2] - 1
        with m.If(moves):
            advance(m, self.position, sizes[0] * sizes[1] * sizes[2])
            m.d.sync += self.frame.eq(self.frame + self.at_end)
            row, column, group = self.counters
            advance(m, group, sizes[2])
            with m.If(group == sizes[2] - 1):
                advance(m, column, sizes[1])
                with m.If(column == sizes[1] - 1):
                    advance(m, row, sizes[0])

    def agrees(self):
        """Whether the counters are the position, and in range."""
        row, column, group = self.counters
        ranges = [counter < size for counter, size in zip(self.counters, self.sizes, strict=True)]
        place = (row * self.sizes[1] + column) * self.sizes[2] + group
        return Cat(*ranges).all() & (self.position == place)


class _Place:
    """A position that is remembered."""

    def __init__(self, name, raster):
        self._raster = raster
        self.values = [Signal.like(c, name=f"{name}_{k}") for k, c in enumerate(raster.counters)]
        self.position = Signal.like(raster.position, name=f"{name}_position")

    def take(self):
        """Statements that remember where the raster is."""
        pairs = zip(self.values, self._raster.counters, strict=True)
        return [self.position.eq(self._raster.position), *(mine.eq(now) for mine, now in pairs)]

    def agrees(self):
        sizes = self._raster.sizes
        row, column, group = self.values
        ranges = [value < size for value, size in zip(self.values, sizes, strict=True)]
        return Cat(*ranges).all() & (self.position == (row * sizes[1] + column) * sizes[2] + group)


@dataclass(frozen=True)
class _Beat:
    """The marked beat of a window's input; ``begins`` when it is being marked."""

    marked: Signal
    kept: Signal
    place: _Place
    number: Signal
    begins: Signal


def _window_invariants(bench, config, offered, arrived, left, beat):
    """What ties the counters and delay lines of a `Window` to what has arrived and left.

    For windows whose grid of steps is the map.
    """
    m, probe = bench.m, bench.probe
    groups, columns, steps = config.frame.groups, config.columns, config.steps
    first, last = config.first, config.last
    bench.claim("what has arrived is counted alike", arrived.agrees() & (arrived.position < steps))
    bench.claim("what has left is counted alike", left.agrees())
    bench.claim("the marked place is one of the map", beat.place.agrees())
    # Both scans are a step ahead, and registers hold what is so at the position before.
    names = ("row", "column", "group")
    for name, size, then in zip(names, arrived.sizes, _after(arrived), strict=True):
        count = probe.count(f"in_{name}")
        bench.claim(f"the next {name} is that of the scan", count == then)
        _ends_invariant(bench, f"in_{name}", count, size)
    _flag_invariant(bench, "in_start", arrived.position, [0])
    _flag_invariant(bench, "in_launch", arrived.position, [(first - 1) % steps])

    # Where the scan of the output is, in steps after its first.
    scan = Const(0)
    sizes = (config.span[0] + 1, columns, groups)
    for name, size, stride in zip(names, sizes, (*config.strides, 1), strict=True):
        index, phase = probe.count(f"out_{name}"), probe.count(f"out_{name}_phase")
        count = index * stride + phase
        bench.claim(f"out_{name} is in range", (count < size) & (phase < stride))
        _ends_invariant(bench, f"out_{name}", count, size)
        scan = scan * size + count
    total_steps = sizes[0] * columns * groups
    gone = Signal(range(total_steps), name="scanned")
    m.d.comb += gone.eq(Mux(scan == 0, total_steps - 1, scan - 1))
    for flag, holds in _window_flags(config).items():
        places = [k for k in range(total_steps) if holds(*divmod(k // groups, columns))]
        _flag_invariant(bench, flag, gone, places)
    _flag_invariant(bench, "out_final", gone, [last - first])
    active = probe.signal("active")
    # The window that is issued next: its frame and position, and in which step of the scan it
    # leaves. One may wait at the output.
    frame, after = Signal(2, name="next_frame"), _after(left)
    place = [Signal.like(counter, name=f"next_{k}") for k, counter in enumerate(left.counters)]
    m.d.comb += frame.eq(left.frame + (offered & left.at_end))
    for mine, now, then in zip(place, left.counters, after, strict=True):
        m.d.comb += mine.eq(Mux(offered, then, now))
    row, column, group = place
    leaves = (row * config.strides[0] * columns + column * config.strides[1]) * groups + group
    # Steps from the window before.
    next_column = (config.strides[1] - 1) * groups + 1
    next_row = (config.strides[0] * columns - config.span[1] - 1) * groups + 1
    steps_before = Mux(group != 0, 1, Mux(column != 0, next_column, Mux(row != 0, next_row, 1)))
    is_next = (gone <= leaves) & (gone + steps_before > leaves)
    is_first = ~Cat(*place).any()
    here, ahead = frame == arrived.frame, (frame + 1)[:2] == arrived.frame
    done = frame == (arrived.frame + 1)[:2]
    now, total = arrived.position, Signal(range(2 * steps + first + 1), name="steps_of_frame")
    m.d.comb += total.eq(first + gone)
    bench.claim(
        "between two frames all windows have been issued",
        holds_if(~active, is_first & ((here & (now < first)) | (done & (now > last)))),
    )
    bench.claim(
        "the scan is where the next window is",
        holds_if(active, is_next),
    )
    bench.claim(
        "the scan is as far as what has arrived",
        holds_if(active, (here & (now == total)) | (ahead & (total >= steps + now))),
    )

    # How many steps ago the marked beat came, as far as the delays reach.
    taps = product(range(config.kernel[0]), range(config.kernel[1]))
    (dy, dx), (y, x) = config.dilations, config.reach
    line = sorted({((y - a * dy) * columns + (x - b * dx)) * groups for a, b in taps} | {0})
    limit = line[-1] + 1
    age = Signal(range(limit + 1), name="age")
    with m.If(beat.begins):
        m.d.sync += age.eq(1)
    with m.Elif(probe.signal("step") & (age != limit)):
        m.d.sync += age.eq(age + 1)

    def is_age(count):
        counted = beat.place.position + age
        return Mux(age == limit, counted <= count, counted == count)

    coming, going = beat.number == arrived.frame, (beat.number + 1)[:2] == arrived.frame
    bench.claim("the marked beat is of one of two frames", holds_if(beat.marked, coming | going))
    bench.claim(
        "the marked beat has windows to come",
        holds_if(beat.marked, (beat.number == left.frame) | (beat.number == (left.frame + 1)[:2])),
    )
    bench.claim("it came as many steps ago", holds_if(beat.marked & coming, is_age(now)))
    bench.claim(
        "it came as many steps ago, in the frame before",
        holds_if(beat.marked & going & active & (beat.number == frame), is_age(total)),
    )
    bench.claim("the age counts", (age <= limit) & holds_if(beat.marked, age != 0))
    gaps: dict[int, list[int]] = {}
    for start, end in pairwise(line):
        if end - start > REGISTER_STEPS:
            gaps.setdefault(end - start, []).append(start)
        for k in [end] if end - start > REGISTER_STEPS else range(start + 1, end + 1):
            held = probe.signal(f"line_{k}")
            bench.claim(
                f"line {k} holds the marked beat",
                holds_if(beat.marked & (age == k), held == beat.kept),
            )
    for length, starts in gaps.items():
        ages = [((age - start)[: len(age)], beat.marked & (age > start)) for start in starts]
        _ring_invariants(bench, length, ages, [beat.kept] * len(starts), f"delay_{length}")


def _ends_invariant(bench, name, count, size):
    """The register that says whether a counter of a scan is at its end."""
    if size > 1:
        ends = bench.probe.signal(f"{name}_ends")
        bench.claim(f"{name} is known to be the last", ends == (count == size - 1))


def _flag_invariant(bench, name, position, places):
    """A register that says whether the position is one of some; none where it would be constant."""
    try:
        flag = bench.probe.signal(name)
    except KeyError:
        return
    bench.claim(f"{name} is known", flag == Cat(position == k for k in places).any())


def _window_flags(config):
    """For the registers of a `Window` that speak of an output position, by name: when they hold.

    A function of the row and the column in the scan of the output.
    """
    (down, right), width = config.strides, config.shape[1]

    def leaves(row, column):
        return row % down == 0 and column % right == 0 and column // right < width

    flags = {"out_leaves": leaves}
    for axis, name in enumerate(("row", "column")):
        stride, length = config.strides[axis], config.frame.shape[1 + axis]
        for k in range(config.kernel[axis]):
            offset = k * config.dilations[axis] - config.pads[axis]

            def before(*place, axis=axis, stride=stride, offset=offset):
                return place[axis] // stride * stride + offset < 0

            def after(*place, axis=axis, stride=stride, offset=offset, length=length):
                return place[axis] // stride * stride + offset >= length

            flags |= {f"{name}_{k}_before": before, f"{name}_{k}_after": after}
    return flags


def _after(raster):
    """The counters of a raster after the next beat."""
    after, carry = [], Const(1)
    for counter, size in reversed([*zip(raster.counters, raster.sizes, strict=True)]):
        after.append(Mux(carry, Mux(counter == size - 1, 0, counter + 1), counter))
        carry &= counter == size - 1
    return reversed(after)


def _last_needed(config):
    """For each beat of the output the last position of the map that it reads."""
    frame, groups = config.frame, config.frame.groups
    needed = []
    for y, x, group in product(*map(range, config.shape), range(groups)):
        row = min(y * config.strides[0] - config.pads[0] + config.reach[0], frame.height - 1)
        column = min(x * config.strides[1] - config.pads[1] + config.reach[1], frame.width - 1)
        needed.append((max(row, 0) * frame.width + max(column, 0)) * groups + group)
    return needed
