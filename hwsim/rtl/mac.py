"""Folded multiply-accumulate: dot products of a stream of vectors with constant weights."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from hwsim.blocks.words import unpack

from .queue import CreditQueue
from .requantize import Requantize
from .rtlil_passes import CONTENTS
from .unit import Unit, advance, beat_layout, choose, delay, narrow, reduce_tree, register

__all__ = ["Mac"]


class Mac(Unit):
    """Dot products, ``pe`` output channels at a time and ``simd`` products of each per cycle.

    ::

        i ──> operands ──┐                   ┌── bias, or what was added so far
                         × ──> adder tree ── + ──> totals ──> requantize ──> queue ──> o
              weights ───┘

    Parameters
    ----------
    config : MacConfig
    weights : array of int, (out_channels, channels per group, ...)
        Along the last axes ``config.taps`` weights.
    bias : array of int, (out_channels,)
    requantize : hwsim.network.fixed_point.Requantize, optional
        As ``config.requantize`` foresees it.
    queue : QueueConfig, optional

    Members
    -------
    i : stream
        ``config.frame``. A beat is taken in the last of the ``config.hold`` cycles that it is
        needed for; its codes come ``config.late`` cycles after that.
    o : stream
        ``config.output``.
    w : stream of ``config.load_bits`` bits
        Only if ``config.loadable``: overwrites the weights and other constants in the order of
        ``config.load_words``, always ready. Vectors that are under way meanwhile get a mixture.

    A result enters the queue ``config.latency`` cycles after the last of its cycles at ``i``.
    """

    def __init__(self, config, weights, bias, requantize=None, queue=None):
        self._weight_words = config.weight_words(weights)
        self._bias_words = config.bias_words(bias)
        self._factor_words = config.factor_words(requantize)
        config.check_accumulator(weights, bias)
        super().__init__(config, queue)

    def _outputs(self):
        load = {"w": In(stream.Signature(self.config.load_bits))} if self.config.loadable else {}
        return super()._outputs() | load

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = CreditQueue(beat_layout(config.output), self.queue)
        wiring.connect(m, wiring.flipped(self.o), queue.o)

        go = Signal()  # a cycle's worth of work is issued,
        starts = Signal()  # the first for its outputs,
        puts = Signal()  # the last for its outputs
        m.d.comb += [go.eq(self.i.valid & (~puts | queue.room)), queue.issue.eq(go & puts)]
        word, slice_, output, channel = self._schedule(m, go, starts, puts, queue.room)

        # From here on nothing waits. A number in a name is the number of cycles since the issue.
        bias_bits = config.pe * config.accumulator_bits
        summed = config.product_latency + config.tree_latency
        load = self._load(m) if config.loadable else None
        sums = self._sums(m, slice_, output, word, load)
        early = delay(m, channel, summed - 2, "channel")
        bias = self._constants(m, "biases", self._bias_words, bias_bits, early, load, 0)
        totals = self._accumulate(
            m,
            sums,
            bias,
            add=delay(m, go, summed, "go"),
            start=delay(m, starts, summed, "starts"),
            entry=delay(m, output, summed, "output") if config.entries > 1 else None,
        )
        m.d.comb += queue.i_valid.eq(delay(m, queue.issue, config.latency, "issue"))
        if config.requantize is None:
            m.d.comb += Value.cast(queue.i_payload).eq(totals)
            return m
        m.submodules.requantize = requantize = Requantize(config.requantize, config.pe)
        m.d.comb += [Value.cast(requantize.i).eq(totals), queue.i_payload.eq(requantize.o)]
        if config.requantize.factor_bits:
            late = delay(m, early, 1, "channel_late")
            bits = config.pe * config.requantize.factor_bits
            factors = self._constants(m, "factors", self._factor_words, bits, late, load, bias_bits)
            m.d.comb += Value.cast(requantize.multiplier).eq(factors)
        return m

    def _schedule(self, m, go, starts, puts, room):
        """Counters: word of weights, slice, output within the block, output.

        All as of the cycle of issue.
        """
        config = self.config
        word, slice_, output, beat, channel = (
            Signal(range(length), name=name)
            for name, length in (
                ("word", len(self._weight_words)),
                ("slice", config.slices),
                ("output", config.outputs),
                ("beat", config.beats),
                ("channel", len(self._bias_words)),
            )
        )
        slice_ends, output_ends, beat_ends = (
            Signal(name=f"{name}_ends") if length > 1 else Const(1)
            for name, length in (
                ("slice", config.slices),
                ("output", config.outputs),
                ("beat", config.beats),
            )
        )
        m.d.comb += [
            starts.eq(Cat(slice_, beat) == 0 if config.slices * config.beats > 1 else 1),
            puts.eq(slice_ends & beat_ends),
            self.i.ready.eq(slice_ends & output_ends & (~beat_ends | room)),
        ]
        with m.If(go):
            advance(m, word, len(self._weight_words))
            advance(m, slice_, config.slices, slice_ends)
            with m.If(slice_ends):
                advance(m, output, config.outputs, output_ends)
                advance(m, channel, len(self._bias_words))
                with m.If(output_ends):
                    advance(m, beat, config.beats, beat_ends)
                    with m.If(~beat_ends):  # the same outputs again, for the next beat
                        m.d.sync += channel.eq(channel - (config.outputs - 1))
        return word, slice_, output, channel

    def _sums(self, m, slice_, output, word, load):
        """A cycle's sum of products for each output channel."""
        config = self.config
        if config.fixed:
            return self._fixed_sums(m)
        wide = config.multipliers * config.weight_bits
        word, slice_, output = (
            delay(m, counter, config.late, f"{counter.name}_late")
            for counter in (word, slice_, output)
        )
        weights = self._constants(m, "weights", self._weight_words, wide, word, load)
        layout = data.ArrayLayout(signed(config.weight_bits), config.multipliers)
        weights = data.View(layout, register(m, weights, "weights_late"))
        operands = list(self._operands(m, slice_, output))
        bits = min(config.frame.bits + config.weight_bits, config.accumulator_bits)
        sums = []
        for p in range(config.pe):
            products = []
            for k in range(config.simd):
                product = operands[p][k] * weights[p * config.simd + k]
                products.append(register(m, product[:bits].as_signed(), f"product_{p}_{k}"))
            sums.append(reduce_tree(m, products, self._add, f"sum_{p}", config.TREE_LEVELS))
        return sums

    def _fixed_sums(self, m):
        """As `_sums`, of constant weights; codes whose weights are 0 are not even stored."""
        config = self.config
        words = unpack(self._weight_words, config.multipliers, config.weight_bits, signed=True)
        weights = words[0].reshape(config.pe, config.simd).tolist()
        outputs_per_group = config.out_channels // config.groups
        operands: dict[int, Signal] = {}
        sums = []
        for p in range(config.pe):
            products = []
            for k, place in enumerate(self._places(p // outputs_per_group)):
                if not weights[p][k]:
                    products.append(Const(0, signed(1)))
                    continue
                if place not in operands:
                    operands[place] = register(m, self.i.payload[place], f"operand_{place}")
                name = f"product_{p}_{k}"
                products.append(_times(m, operands[place], weights[p][k], name))
            sums.append(reduce_tree(m, products, self._add, f"sum_{p}", config.TREE_LEVELS))
        return sums

    def _add(self, left, right):
        """A sum no wider than the accumulator: it may wrap on the way, its last value fits."""
        total = left + right
        bits = self.config.accumulator_bits
        return total[:bits].as_signed() if len(total) > bits else total

    def _operands(self, m, slice_, output):
        """Each output channel's ``simd`` codes of the beat, three cycles later.

        They are chosen in the first two cycles. Output channels that read the same codes share
        their registers.
        """
        config = self.config
        layout = data.ArrayLayout(Shape(config.frame.bits, config.frame.signed), config.simd)
        outputs_per_group = config.out_channels // config.groups
        registers: dict[tuple[int, ...], Signal] = {}
        for p in range(config.pe):
            # Which of the groups in the beat the output channel belongs to, for each value of
            # `output`.
            groups = tuple((o * config.pe + p) // outputs_per_group for o in range(config.outputs))
            if groups not in registers:
                name = f"operands_{len(registers)}"
                slices = {group: self._slices(group) for group in dict.fromkeys(groups)}
                if len(slices) == 1:
                    index, codes = slice_, slices[groups[0]]
                else:
                    fill = (1 << len(slice_)) - config.slices
                    index = Cat(slice_, output)
                    codes = [code for g in groups for code in slices[g] + slices[g][-1:] * fill]
                first: dict[int, Signal] = {}  # what is left after two bits of the choice
                few = narrow(index[:2], codes)
                for code in few:
                    if id(code) not in first:
                        first[id(code)] = register(m, code, f"{name}_of_{len(first)}")
                rest = register(m, index[2:], f"{name}_which") if len(index) > 2 else []
                operands = choose(rest, [first[id(code)] for code in few])
                operands = register(m, operands, f"{name}_1")
                registers[groups] = register(m, data.View(layout, operands), name, layout)
            yield registers[groups]

    def _slices(self, group):
        """What an output channel of a group needs of a beat, cycle by cycle: ``simd`` codes."""
        simd = self.config.simd
        codes = [self.i.payload[place] for place in self._places(group)]
        return [Cat(codes[k : k + simd]) for k in range(0, len(codes), simd)]

    def _places(self, group):
        """Where in the beat what an output channel of a group needs lies."""
        config = self.config
        first = group * config.dot_channels
        return [
            tap * config.lanes + first + lane
            for tap in range(config.taps)
            for lane in range(config.dot_channels)
        ]

    def _accumulate(self, m, sums, bias, *, add, start, entry):
        """Registers with the ``pe`` accumulators that were last added to, as one value."""
        config = self.config
        layout = data.ArrayLayout(signed(config.accumulator_bits), config.pe)
        bias = data.View(layout, bias)
        totals = Signal(layout, reset_less=True)
        if config.beats * config.slices == 1:  # all products in one cycle
            before = bias
        elif entry is None:
            before = [Mux(start, bias[p], totals[p]) for p in range(config.pe)]
        else:
            m.submodules.partial_sums = memory = Memory(shape=layout, depth=config.entries, init=[])
            read, write = memory.read_port(domain="comb"), memory.write_port()
            before = [Mux(start, bias[p], read.data[p]) for p in range(config.pe)]
        after = Signal(layout)
        for p in range(config.pe):
            m.d.comb += after[p].eq((before[p] + sums[p])[: config.accumulator_bits])
        with m.If(add):
            m.d.sync += totals.eq(after)
        if entry is not None:
            m.d.comb += [
                read.addr.eq(entry),
                write.addr.eq(entry),
                write.en.eq(add),
                write.data.eq(after),
            ]
        return Value.cast(totals)

    def _constants(self, m, name, words, bits, address, load, offset=None):
        """The word at ``address``, two cycles later: block RAM is slow to show it.

        ``load`` overwrites words with the bits from ``offset`` on.

        ``offset`` None stands for the weights, which are loaded first, and are a memory even if all
        words are the same: products with constants would be rewritten as shifts and sums.
        """
        if load is None and offset is not None and len(set(words)) == 1:
            return Const(words[0], bits)
        # A memory has at least two entries, so that it has an address.
        m.submodules[name] = memory = Memory(
            shape=bits, depth=max(len(words), 2), init=words, attrs={CONTENTS: 1}
        )
        read = memory.read_port()
        m.d.comb += read.addr.eq(address)
        if load is not None:
            write = memory.write_port()
            channels, index = load
            first = offset or 0
            m.d.comb += [
                write.en.eq(self.w.valid & (~channels if offset is None else channels)),
                write.addr.eq(index[: len(write.addr)]),
                write.data.eq(self.w.payload[first : first + bits]),
            ]
        return register(m, read.data, f"{name}_word")

    def _load(self, m):
        """Where the next beat of port ``w`` goes: whether to biases and multipliers; address."""
        lengths = (len(self._weight_words), len(self._bias_words))
        channels = Signal(name="load_channels")
        index = Signal(range(max(*lengths, 2)), name="load_index")
        m.d.comb += self.w.ready.eq(1)
        with m.If(self.w.valid):
            with m.If(index == Mux(channels, lengths[1] - 1, lengths[0] - 1)):
                m.d.sync += [channels.eq(~channels), index.eq(0)]
            with m.Else():
                m.d.sync += index.eq(index + 1)
        return channels, index


def _times(m, operand, weight, name):
    """The product with a constant, signed: a register.

    The constant has no more bits than it needs, so that no tool finds bits to leave out.
    """
    if weight < 0:
        product = operand * Const(weight, signed((-1 - weight).bit_length() + 1))
    else:
        product = operand * Const(weight, weight.bit_length())
    shape = product.shape()
    if not shape.signed:
        shape = signed(shape.width + 1)
    return register(m, product, name, shape)
