"""The training accelerator: memories, and a program that reads, computes and writes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.training import (
    BITS,
    COORDINATE_BITS,
    LEVELS,
    MODES,
    REGISTER_BITS,
    TO_LEVELS,
    VALUE_BITS,
    Bank,
    Command,
    Kind,
    Tap,
)

from .training import (
    Function,
    MatrixProduct,
    Transposer,
    WinnerPool,
    WinnerRoute,
    beats,
    marks_layout,
    word_layout,
)
from .training_loss import Loss
from .unit import choose, delay
from .unused import discard

__all__ = ["AxiTrainer", "Trainer"]

_DATA = (Bank.PARAMETERS, Bank.MAPS, Bank.DELTAS)
MODE = data.StructLayout(MODES)
# Of all codes that were written so far: one has reached a bound, one is not small.
FLAGS = data.StructLayout({"bounded": 1, "large": 1})


def address_layout(config):
    """A bank and a word of it."""
    return data.StructLayout({"offset": config.offset_bits, "bank": 3})


def command_layout(config):
    """What the host asks for: a `Command`; for a start, the address is that of the program."""
    return data.StructLayout(
        {"command": 2, "address": address_layout(config), "word": word_layout(config)}
    )


def _registers(config, group):
    return data.StructLayout(config.registers[group])


class _Nest:
    """Loops: a step in each cycle with ``step``, from the cycle after ``begin`` on.

    Members
    -------
    index : list of Signal
        Of each level, the innermost first.
    ends : Signal
        For each level: this is its last step, and that of all inside.
    """

    def __init__(self, m, name, counts, begin, step):
        self._m, self._begin, self._step = m, begin, step
        self.index = [Signal.like(c, name=f"{name}_{k}") for k, c in enumerate(counts)]
        self.ends = Signal(len(counts), name=f"{name}_ends")
        inside = Const(1)
        for index, count, ends in zip(self.index, counts, self.ends, strict=True):
            m.d.comb += ends.eq((index == count) & inside)
            with m.If(begin):
                m.d.sync += index.eq(0)
            with m.Elif(step & inside):
                m.d.sync += index.eq(Mux(ends, 0, index + 1))
            inside = ends

    def track(self, name, base, jumps):
        """What begins with ``base`` and changes by the jump of the level that advances."""
        m = self._m
        value = Signal(len(base), name=name)
        jump = jumps[-1]
        for level in reversed(range(len(jumps) - 1)):
            jump = Mux(self.ends[level], jump, jumps[level])
        with m.If(self._begin):
            m.d.sync += value.eq(base)
        with m.Elif(self._step):
            m.d.sync += value.eq(value + jump)
        return value


class Control(wiring.Component):
    """Commands of the host, and the program.

    Commands are done one after another: one that starts a program when that has halted, one that
    reads when its word has been taken. A program goes on by a word per cycle while no operation is
    on its way.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of command_layout(config)
    write, address, word : out
        What the host writes, with the command.
    reads : out
        The host wants the word at `address`, which stays until it has been taken.
    taken : in
        It has.
    run, steps, numbers, results : out
        Registers, see `TrainingConfig.registers`.
    begin : out
        An operation begins; its registers hold from the next cycle on.
    done : in
        The operation has ended.
    finished : out
        An operation, or the program, has ended.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(command_layout(config))),
                "write": Out(1),
                "address": Out(address_layout(config)),
                "word": Out(word_layout(config)),
                "reads": Out(1),
                "taken": In(1),
                "run": Out(MODE),
                **{
                    group: Out(_registers(config, group))
                    for group in ("steps", "numbers", "results")
                },
                "begin": Out(1),
                "done": In(1),
                "finished": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        shape = data.StructLayout({"register": REGISTER_BITS, "value": VALUE_BITS})
        m.submodules.program = program = Memory(shape=shape, depth=config.program, init=[])
        read, write = program.read_port(), program.write_port()
        command = self.i.payload
        running, reading, busy = Signal(), Signal(), Signal()
        taken, starts = Signal(), Signal()
        host = Signal(address_layout(config))
        m.d.comb += [
            self.i.ready.eq(~running & ~reading),
            taken.eq(self.i.valid & self.i.ready),
            self.write.eq(taken & (command.command == Command.WRITE)),
            self.reads.eq(taken & (command.command == Command.READ)),
            starts.eq(taken & (command.command == Command.START)),
            self.address.eq(Mux(reading, host, command.address)),
            self.word.eq(command.word),
            write.en.eq(self.write & (command.address.bank == Bank.PROGRAM)),
            write.addr.eq(command.address.offset),
            write.data.eq(command.word.as_value()),
        ]
        with m.If(self.reads):
            m.d.sync += [reading.eq(1), host.eq(command.address)]
        with m.Elif(self.taken):
            m.d.sync += reading.eq(0)

        here, following = Signal(len(read.addr)), Signal(len(read.addr))
        executes, runs, halts = Signal(), Signal(), Signal()
        mode = data.View(MODE, read.data.value[: MODE.size])
        m.d.comb += [
            executes.eq(running & ~busy),
            runs.eq(executes & (read.data.register == 0)),
            halts.eq(runs & (mode.kind == Kind.HALT)),
            self.begin.eq(runs & ~halts),
            following.eq(Mux(starts, command.address.offset, here + executes)),
            read.addr.eq(following),
            self.finished.eq(halts | (busy & self.done)),
        ]
        m.d.sync += [
            here.eq(following),
            running.eq((running | starts) & ~halts),
            busy.eq((busy & ~self.done) | self.begin),
        ]
        registers = [
            self.run.as_value(),
            *(
                getattr(self, group)[name]
                for group in ("steps", "numbers", "results")
                for name in config.registers[group]
            ),
        ]
        with m.If(executes), m.Switch(read.data.register):
            for number, register in enumerate(registers):
                with m.Case(number):
                    m.d.sync += register.eq(read.data.value)
        return m


def place_layout(config):
    """Where an operand is, or what it is instead."""
    return data.StructLayout({"address": address_layout(config), "one": 1, "zero": 1})


class Steps(wiring.Component):
    """The steps of an operation: where their operands are.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    registers : in
    taps_a, taps_w : in
        Which operand the table of taps is for.
    edges : in
        The columns' operand has no taps, and is nothing outside of the map.
    limit : in
        Nor where, unless this is 0, the place of the rows' operand is not below it.
    begin : in
    write, address, word : in
        What the host writes.
    a, w : out, place_layout(config)
        Two cycles after the step.
    valid, first, last : out
        Together with the step: there is one; it is the first or the last of its sum, or window.
    k : out
        And its tap, or window.
    row, col : out
        And its numbers in the innermost loop, and in the next one.
    """

    def __init__(self, config):
        self._config = config
        place = place_layout(config)
        super().__init__(
            {
                "registers": In(_registers(config, "steps")),
                "taps_a": In(1),
                "taps_w": In(1),
                "edges": In(1),
                "limit": In(config.offset_bits),
                "begin": In(1),
                "write": In(1),
                "address": In(address_layout(config)),
                "word": In(word_layout(config)),
                "a": Out(place),
                "w": Out(place),
                "valid": Out(1),
                "first": Out(1),
                "last": Out(1),
                "k": Out(config.offset_bits),
                "row": Out(range(config.lanes)),
                "col": Out(range(config.lanes)),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config, registers = self.config, self.registers
        shape = data.StructLayout(config.tap_fields)
        m.submodules.taps = taps = Memory(shape=shape, depth=config.table, init=[])
        read, write = taps.read_port(), taps.write_port()
        m.d.comb += [
            write.en.eq(self.write & (self.address.bank == Bank.TAPS)),
            write.addr.eq(self.address.offset),
            write.data.eq(self.word.as_value()),
        ]

        def levels(name):
            return [registers[f"{name}_{level}"] for level in range(LEVELS)]

        nest = _Nest(m, "step", levels("count"), self.begin, self.valid)
        now = {name: nest.track(f"{name}_now", registers[name], levels(name)) for name in "awkyx"}
        with m.If(self.begin):
            m.d.sync += [self.valid.eq(1), self.first.eq(1)]
        with m.Elif(self.valid):
            m.d.sync += [self.valid.eq(~nest.ends[-1]), self.first.eq(self.last)]
        m.d.comb += [
            self.last.eq(choose(registers.fold, list(nest.ends))),
            self.k.eq(now["k"]),
            self.row.eq(nest.index[0]),
            self.col.eq(nest.index[1]),
            read.addr.eq(now["k"]),
        ]
        late = {name: delay(m, now[name], 1, name) for name in "awyx"}
        tap = read.data
        inside = Signal()
        places = []
        for axis, size in (("y", registers.height), ("x", registers.width)):
            # What is negative is too large as well.
            place = Signal(COORDINATE_BITS, name=f"place_{axis}")
            m.d.comb += place.eq(late[axis] + Mux(self.edges, 0, tap[axis]))
            places.append(place < size)
        m.d.comb += inside.eq(places[0] & places[1])
        beyond = (self.limit != 0) & (late["a"] >= self.limit)
        for name, here in (("a", self.taps_a), ("w", self.taps_w)):
            place = getattr(self, name)
            outside = (tap.tap == Tap.ZERO) | ((tap.tap == Tap.VALUE) & ~inside)
            edge = self.edges & (~inside | beyond) if name == "w" else 0
            m.d.sync += [
                place.address.as_value().eq(late[name] + Mux(here, tap.delta, 0)),
                place.one.eq(here & (tap.tap == Tap.ONE)),
                place.zero.eq((here & outside) | edge),
            ]
        return m


class Results(wiring.Component):
    """Where results go, and what they were like.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    registers : in
    begin : in
    valid, word : in
        A result.
    single : in
        It is for one lane, the number of the second loop; the others of that word stay.
    write, lanes, address, written : out
        To memory, a cycle later.
    done : out
        With the last result.
    flag_address, flags : in, out
        Of an operation's slot; a cycle later.
    """

    def __init__(self, config):
        self._config = config
        super().__init__(
            {
                "registers": In(_registers(config, "results")),
                "begin": In(1),
                "valid": In(1),
                "word": In(word_layout(config)),
                "single": In(1),
                "write": Out(1),
                "lanes": Out(config.lanes),
                "address": Out(address_layout(config)),
                "written": Out(word_layout(config)),
                "done": Out(1),
                "flag_address": In(range(config.slots)),
                "flags": Out(FLAGS),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config, registers = self.config, self.registers
        counts, jumps = (
            [registers[f"{name}_{level}"] for level in range(TO_LEVELS)]
            for name in ("to_count", "to")
        )
        nest = _Nest(m, "result", counts, self.begin, self.valid)
        address = nest.track("to_now", registers.to, jumps)
        # The last row of a tile comes first.
        last = config.lanes - 1
        row = Signal(config.offset_bits)
        with m.If(self.begin):
            m.d.sync += row.eq(last)
        with m.Elif(self.valid):
            ends = nest.ends
            m.d.sync += row.eq(Mux(ends[0], Mux(ends[1], last, row + last + config.lanes), row - 1))
        m.d.sync += [
            self.write.eq(self.valid & ((registers.limit == 0) | (row < registers.limit))),
            self.lanes.eq(
                Cat(~self.single | (nest.index[1] == lane) for lane in range(config.lanes))
            ),
            self.address.eq(address),
            *(
                self.written[lane].eq(Mux(lane < registers.kept, self.word[lane], 0))
                for lane in range(config.lanes)
            ),
        ]
        m.d.comb += self.done.eq(self.valid & nest.ends[-1])

        m.submodules.slots = slots = Memory(shape=FLAGS, depth=config.slots, init=[])
        read, write = slots.read_port(), slots.write_port()
        seen, now = Signal(FLAGS), Signal(FLAGS)
        codes = [self.written[lane].as_unsigned() for lane in range(config.lanes)]
        ends = [code ^ code[-1].replicate(BITS) for code in codes]
        m.d.comb += [
            now.bounded.eq(seen.bounded | Cat(end[:-1].all() for end in ends).any()),
            now.large.eq(seen.large | Cat(end[-3:-1].any() for end in ends).any()),
            write.en.eq(self.write),
            write.addr.eq(registers.slot),
            write.data.eq(now),
            read.addr.eq(self.flag_address),
            self.flags.eq(read.data),
        ]
        with m.If(self.begin):
            m.d.sync += seen.eq(0)
        with m.Elif(self.write):
            m.d.sync += seen.eq(now)
        return m


class Trainer(wiring.Component):
    """Trains a network that is in its memories; see ``docs/training.md``.

    ::

        host ──> control ──> steps ──> memories ──┬──> transposers ──> product ──────┐
                    │                      ^      └──> pool, route, function, loss ──┤
                    │                      │                                         v
                    └──> results ──────────┴─────────────────────────────────────────┘

    Commands of the host are done one after another, see `Control`.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    i : stream of command_layout(config)
    o : stream of word_layout(config)
        A word for each `Command.READ`.
    finished : stream, always ready
        For whoever watches: an operation, or the program, has ended.
    """

    def __init__(self, config):
        self._config = config
        self.finished = beats(1).create()
        super().__init__(
            {
                "i": In(stream.Signature(command_layout(config))),
                "o": Out(stream.Signature(word_layout(config))),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.control = control = Control(config)
        m.submodules.feed = steps = Steps(config)
        m.submodules.store = results = Results(config)
        wiring.connect(m, wiring.flipped(self.i), control.i)
        for name in ("begin", "write", "address", "word"):
            m.d.comb += getattr(steps, name).eq(getattr(control, name))
        m.d.comb += [
            steps.registers.eq(control.steps),
            steps.taps_a.eq(control.run.taps_a),
            steps.taps_w.eq(control.run.taps_w),
            steps.edges.eq(control.run.edges),
            steps.limit.eq(control.results.limit),
            results.registers.eq(control.results),
            results.begin.eq(control.begin),
            control.done.eq(results.done),
            self.finished.valid.eq(control.finished),
        ]
        valid = delay(m, steps.valid, config.operand_latency, "valid")
        a, w = self._operands(m, control, steps, results)
        self._compute(m, control, steps, results, valid, a, w)

        # A word that the host reads.
        answered = delay(m, control.reads, 3, "reads")
        with m.If(answered):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.comb += [
            self.o.payload.eq(w),
            control.taken.eq(self.o.valid & self.o.ready),
            results.flag_address.eq(control.address.offset),
        ]
        # The largest memory takes all of an address.
        discard(m, steps.a.address, steps.w.address, steps.k, results.address)
        return m

    def _operands(self, m, control, steps, results):
        """Operands of a step, ``config.operand_latency`` cycles later."""
        config = self.config
        busy, reads_a = delay(m, steps.valid, 2, "busy"), Signal()
        w_address = Signal(address_layout(config))
        mode = control.run
        m.d.comb += [
            reads_a.eq(
                busy
                & (
                    ((mode.kind == Kind.PRODUCT) & ~mode.diagonal)
                    | (mode.kind == Kind.SLOPE)
                    | (mode.kind == Kind.LOSS)
                )
            ),
            w_address.eq(Mux(busy, steps.w.address, control.address)),
        ]
        words = []
        for bank in _DATA:
            name = bank.name.lower()
            shape, depth = word_layout(config), getattr(config, name)
            m.submodules[name] = memory = Memory(shape=shape, depth=depth, init=[])
            read = memory.read_port()
            mine = reads_a & (steps.a.address.bank == bank)
            host = control.write & (control.address.bank == bank)
            writes = host | (results.write & (results.address.bank == bank))
            if bank == Bank.DELTAS:
                # Those of outputs come for one image at a time.
                write = memory.write_port(granularity=1)
                lanes = results.lanes | host.replicate(config.lanes)
                m.d.comb += write.en.eq(lanes & writes.replicate(config.lanes))
            else:
                write = memory.write_port()
                m.d.comb += write.en.eq(writes)
            m.d.comb += [
                read.addr.eq(Mux(mine, steps.a.address.offset, w_address.offset)),
                write.addr.eq(Mux(host, control.address.offset, results.address.offset)),
                write.data.eq(Mux(host, control.word, results.written)),
            ]
            words.append(read.data.as_value())
        words.append(results.flags.as_value())

        def operand(name, bank, place):
            """What has been read of a bank, or what stands for it."""
            bank = delay(m, bank, 1, f"{name}_bank")
            instead = delay(m, Cat(place.one, place.zero), 1, f"{name}_instead")
            ones = control.numbers.one.replicate(config.lanes)
            whole = Signal(word_layout(config), name=f"{name}_word")
            read = Mux(instead[0], ones, choose(bank[:2], words))
            m.d.comb += whole.eq(read & (~instead[1]).replicate(len(ones)))
            return whole

        rows = operand("a", steps.a.address.bank, steps.a)
        row, col = delay(m, steps.row, 3, "row"), delay(m, steps.col, 3, "col")
        factor = Mux(col[0], control.numbers.q, control.numbers.p)
        unit = Cat(Mux(row == lane, factor, 0) for lane in range(config.lanes))
        a, w = Signal(word_layout(config)), Signal(word_layout(config))
        m.d.sync += [
            a.eq(Mux(mode.diagonal, unit, rows)),
            w.eq(operand("w", w_address.bank, steps.w)),
        ]
        return a, w

    def _compute(self, m, control, steps, results, valid, a, w):
        config, mode, numbers = self.config, control.run, control.numbers
        m.submodules.product = product = MatrixProduct(config)
        m.submodules.pool = pool = WinnerPool(config)
        m.submodules.route = route = WinnerRoute(config)
        first, last = (
            delay(m, getattr(steps, name), config.operand_latency, name)
            for name in ("first", "last")
        )
        begins = delay(m, control.begin, config.operand_latency, "begins")
        for name, word in (("a", a), ("w", w)):
            m.submodules[f"turn_{name}"] = turn = Transposer(config)
            m.d.comb += [
                turn.i.eq(word),
                turn.start.eq(begins),
                turn.turn.eq(mode[f"turn_{name}"]),
                product.i.payload[name].eq(turn.o),
            ]
        flow = Cat(valid & (mode.kind == Kind.PRODUCT), first, last, delay(m, begins, 1, "loads"))
        flow_0 = Signal(len(flow))
        m.d.comb += flow_0.eq(flow)
        product_valid, product_first, product_last, loads = delay(m, flow_0, config.lanes, "flow")
        step = product.i.payload
        m.d.comb += [
            product.i.valid.eq(product_valid),
            product.clip.eq(mode.clip),
            product.bound.eq(numbers.bound),
            step.first.eq(product_first),
            step.last.eq(product_last),
            step.shift.eq(numbers.shift),
            step.relu.eq(mode.relu),
            step.stochastic.eq(mode.stochastic),
            step.load.eq(mode.load & loads),
            step.seed.eq(numbers.seed),
        ]

        # What pools remember; windows are numbered by the steps' `k`.
        marks = Memory(shape=marks_layout(config), depth=config.marks, init=[])
        m.submodules.marks = marks
        read, write = marks.read_port(), marks.write_port()
        window = delay(m, steps.k, 3, "window")
        m.d.comb += [
            read.addr.eq(window),
            write.addr.eq(delay(m, window, 2, "pooled")),
            write.en.eq(pool.o.valid),
            write.data.eq(pool.o.payload.marks),
            pool.i.valid.eq(valid & (mode.kind == Kind.POOL)),
            pool.clip.eq(mode.clip),
            pool.bound.eq(numbers.bound),
            pool.i.payload.x.eq(w),
            pool.i.payload.outside.eq(delay(m, steps.w.zero, 2, "outside")),
            pool.i.payload.first.eq(first),
            pool.i.payload.last.eq(last),
            route.i.valid.eq(valid & (mode.kind == Kind.ROUTE)),
            route.i.payload.dy.eq(w),
            route.i.payload.marks.eq(read.data),
            route.i.payload.relu.eq(mode.relu),
            route.i.payload.first.eq(first),
        ]
        m.submodules.loss = loss = Loss(config)
        m.d.comb += [
            loss.i.valid.eq(valid & (mode.kind == Kind.LOSS)),
            loss.i.payload.outputs.eq(w),
            loss.i.payload.labels.eq(a),
            loss.i.payload.lane.eq(delay(m, steps.col, config.operand_latency, "image")),
            loss.i.payload.first.eq(first),
            loss.i.payload.lift.eq(numbers.shift),
            loss.i.payload.one.eq(numbers.one),
        ]
        # One of them is at work.
        valids = [unit.o.valid for unit in (product, pool, route, loss)]
        # By number of the kind; a program that halts has no results.
        found = [product.o.payload, pool.o.payload.value, route.o.payload]
        words = [word.as_value() for word in (found[0], *found)]
        if config.functions:
            functions = self._functions(m, control, valid, begins, a, w)
            words += [functions.o.payload.as_value()] * 2
            valids.append(functions.o.valid)
        else:
            words += words[:2]
        words.append(loss.o.payload.replicate(config.lanes))
        discard(m, mode.curve)
        m.d.comb += [
            results.valid.eq(Cat(valids).any()),
            results.word.eq(choose(mode.kind, words)),
            results.single.eq(mode.kind == Kind.LOSS),
        ]

    def _functions(self, m, control, valid, begins, a, w):
        config, mode, numbers = self.config, control.run, control.numbers
        m.submodules.functions = functions = Function(config)
        gradient = mode.kind == Kind.SLOPE
        m.d.comb += [
            functions.i.valid.eq(valid & ((mode.kind == Kind.FUNCTION) | gradient)),
            functions.i.payload.x.eq(w),
            functions.i.payload.y.eq(a),
            functions.gradient.eq(gradient),
            functions.curve.eq(mode.curve),
            functions.shift.eq(numbers.shift),
            functions.stochastic.eq(mode.stochastic),
            functions.load.eq(mode.load & begins),
            functions.seed.eq(numbers.seed),
            functions.write.eq(control.write & (control.address.bank == Bank.FUNCTIONS)),
            functions.write_slope.eq(control.write & (control.address.bank == Bank.SLOPES)),
            functions.address.eq(control.address.offset),
            functions.entry.eq(control.word),
        ]
        return functions


class AxiTrainer(wiring.Component):
    """A `Trainer` with AXI4-Stream ports; what it wraps is its part ``trainer``.

    Parameters
    ----------
    config : TrainingConfig

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready
        Commands: `command_layout`, filled up to whole bytes.
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast
        Words that were read, each a packet of its own.
    """

    def __init__(self, config):
        self._config = config
        command = command_layout(config).size
        super().__init__(
            {
                "s_axis_tdata": In(-(-command // 8) * 8),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(word_layout(config).size),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
            }
        )

    @property
    def config(self):
        return self._config

    @property
    def header(self):
        """What the Verilog says of itself."""
        config = self.config
        fields = "command (2 bits: write, read, start), offset, bank (3 bits), word"
        return (
            f"Training accelerator of {config.lanes} x {config.lanes} elements.\n"
            "Interface: clk, rst (synchronous, active high, first of all), AXI4-Stream s_axis "
            "(commands) and m_axis (words that were read).\n"
            f"  s_axis: {fields}, the lowest first; an offset of {config.offset_bits} bits\n"
            f"  m_axis: {config.lanes} codes of {BITS} bits, TLAST on each word"
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.trainer = trainer = Trainer(self.config)
        m.d.comb += [
            trainer.i.payload.eq(self.s_axis_tdata),
            trainer.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(trainer.i.ready),
            self.m_axis_tdata.eq(trainer.o.payload),
            self.m_axis_tvalid.eq(trainer.o.valid),
            trainer.o.ready.eq(self.m_axis_tready),
            self.m_axis_tlast.eq(1),
        ]
        discard(m, self.s_axis_tdata[command_layout(self.config).size :])
        return m
