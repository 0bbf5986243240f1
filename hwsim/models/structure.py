"""What hardware a configuration is made of: registers, adders, multiplexers, memories, multipliers.

Each function counts what the Amaranth component of the same name has, without elaborating it. The
cost view (`hwsim.models.cost`) turns these counts into cells of a family.
"""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import ceil
from typing import Any

from hwsim.blocks.argmax import ArgmaxConfig
from hwsim.blocks.conv import ConvConfig, DenseConfig
from hwsim.blocks.elementwise import AddConfig, MulConfig, TableConfig
from hwsim.blocks.lrn import LRNConfig
from hwsim.blocks.pad import PadConfig
from hwsim.blocks.pool import GlobalPoolConfig, PoolConfig
from hwsim.blocks.queue import QueueConfig
from hwsim.blocks.requantize import limbs
from hwsim.blocks.reshape import ConcatConfig, ForkConfig, ResizeConfig

__all__ = ["Structure", "bits_for", "unit"]

# As in hwsim.rtl.window: longer gaps between taps are memories.
REGISTER_STEPS = 4


def bits_for(count):
    """Bits of a number below ``count``."""
    return max(int(count) - 1, 0).bit_length()


class Structure:
    """Counts of a unit.

    Members
    -------
    counts : Counter
        ``register``, ``adder``, ``mux`` (of two), ``compare``, ``control``: bits.
    tables : list of (int, int, int)
        Width and depth of what is only read, and how many registers follow each other behind it.
        One is the memory's own; a block RAM has one more.
    rings, memories, shallow : list of (int, int)
        And of what is written: delay lines, which read and write the same word; queues; what is
        read without a clock.
    products : Counter of (int, int)
        Widths, with sign, of what multipliers multiply.
    """

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self.tables: list[tuple[int, int, int]] = []
        self.rings: list[tuple[int, int]] = []
        self.memories: list[tuple[int, int]] = []
        self.shallow: list[tuple[int, int]] = []
        self.products: Counter[tuple[int, int]] = Counter()

    def registers(self, bits):
        """Registers of so many bits."""
        self.counts["register"] += bits

    def counter(self, length):
        """A counter of ``0 ... length - 1``."""
        bits = bits_for(length)
        self.counts["register"] += bits
        self.counts["control"] += bits

    def trees(self, count, terms, width, limit=0, kind="adder", levels=2):
        """Balanced trees, registered after each ``levels`` levels and after the last.

        A sum grows by a bit a level, up to ``limit``.
        """
        widths = [width] * terms
        level = 0
        while len(widths) > 1:
            grown = min(width + level + 1, limit) if limit else width + level + 1
            if kind != "adder":
                grown = width
            self.counts[kind] += count * grown * (len(widths) // 2)
            widths = [grown] * ceil(len(widths) / 2)
            level += 1
            if level % levels == 0 or len(widths) == 1:
                self.registers(count * sum(widths))

    def choose(self, values, width):
        """One of ``values`` words."""
        self.counts["mux"] += (values - 1) * width

    def requantize(self, config, lanes):
        """`hwsim.rtl.requantize.Requantize`.

        The registers of operands and partial products are those of the multipliers.
        """
        width = config.accumulator_bits
        if config.factor_bits:
            factor = config.factor_bits
            self.products[width, factor + 1] += lanes
            width += factor
            partial_products = len(limbs(config.accumulator_bits)) * len(limbs(factor + 1))
            self.registers(lanes * (partial_products - 1) * width)
        floor = max(width, config.shifts[1] + 1) - config.shifts[1]
        self.registers(lanes * (2 * (floor + 1) + 1 + 2 * config.bits + 2))
        self.counts["round"] += lanes * floor
        self.counts["sticky"] += lanes * config.shifts[1]
        self.counts["compare"] += lanes * 2 * floor
        self.counts["clamp"] += lanes * config.bits

    def queue(self, config, width):
        """`hwsim.rtl.queue.Queue`."""
        depth = config.memory_depth
        for _ in range(2):
            self.counter(depth)
        self.counter(depth + 1)
        self.registers(1 + config.registered)
        (self.memories if config.registered else self.shallow).append((width, depth))

    def credit_queue(self, config, width):
        """`hwsim.rtl.queue.CreditQueue`."""
        self.counter(config.depth + 1)
        self.registers(1)
        self.queue(config, width)


def unit(config, depths=()):
    """The `Structure` of a unit of a streaming pipeline.

    Parameters
    ----------
    config : UnitConfig
    depths : sequence of int
        Of its queues; those that the configuration needs by itself unless given.
    """
    queues = [QueueConfig(depth) for depth in depths] or [config.queue]
    s = Structure()
    _UNITS[type(config)](s, config, queues)
    return s


def _beat(frame):
    return frame.lanes * frame.bits


def _conv(s, config, queues):
    if config.window is not None:
        window(s, config.window, late=config.mac.late)
    mac(s, config.mac, queues[0])


def _dense(s, config, queues):
    mac(s, config.mac, queues[0])


def mac(s, config, queue):
    """`hwsim.rtl.mac.Mac`."""
    frame = config.frame
    words = config.blocks * config.beats * config.hold
    channels = config.out_channels // config.pe
    acc = config.accumulator_bits
    s.credit_queue(queue, config.pe * config.output.bits)
    for length in (words, config.slices, config.outputs, config.beats, channels):
        s.counter(length)
    for length in (words, config.slices, config.outputs):
        s.registers(config.late * bits_for(length))
    summed = config.product_latency + config.tree_latency
    s.registers(2 * summed + config.latency + 3)
    s.registers(bits_for(channels) * (summed - 2))
    if config.entries > 1:
        s.registers(bits_for(config.outputs) * summed)
        s.shallow.append((config.pe * acc, config.entries))
    # Operands: registers for each set of output channels that read the same codes, when two bits
    # of the choice are known, and then all. The last ones are the multipliers'.
    per_group = config.out_channels // config.groups
    sets = {
        tuple((o * config.pe + p) // per_group for o in range(config.outputs))
        for p in range(config.pe)
    }
    for groups in sets:
        width = config.simd * frame.bits
        choices = config.slices * len(set(groups))
        s.registers(width * (ceil(choices / 4) + 1) + max(bits_for(choices) - 2, 0))
        s.choose(choices, width)
    s.tables.append((config.weight_word_bits, words, 2))
    product = min(frame.bits + config.weight_bits, acc)
    s.products[frame.bits + (not frame.signed), config.weight_bits] += config.multipliers
    s.trees(config.pe, config.simd, product, acc, levels=config.TREE_LEVELS)
    s.registers(config.pe * acc)
    s.counts["accumulate"] += config.pe * acc
    if config.beats * config.slices > 1:
        s.counts["select"] += config.pe * acc
    if channels > 1:
        s.tables.append((config.pe * acc, channels, 2))
    if config.requantize is not None:
        if config.requantize.factor_bits and channels > 1:
            s.registers(bits_for(channels))
            s.tables.append((config.pe * config.requantize.factor_bits, channels, 2))
        s.requantize(config.requantize, config.pe)


def window(s, config, tap=None, late=0):
    """`hwsim.rtl.window.Window`."""
    beat = _beat(config.frame)
    for length, stride in (
        (config.rows, 1),
        (config.columns, 1),
        (config.frame.groups, 1),
        (config.span[0] + 1, config.strides[0]),
        (config.columns, config.strides[1]),
        (config.frame.groups, 1),
    ):
        last = length - 1
        s.counter(last // stride + 1)
        s.counter(min(length, stride))
        s.counts["control"] += 2
        s.registers(length > 1)
    s.registers(6 + late * (2 + beat))
    (kh, kw), (dh, dw) = config.kernel, config.dilations
    outside = [
        [
            (-(offset // stride) > 0, -((offset - length) // stride) < size)
            for offset in (k * dilation - pad for k in range(kernel))
        ]
        for size, stride, length, kernel, dilation, pad in zip(
            config.shape,
            config.strides,
            config.frame.shape[1:],
            config.kernel,
            config.dilations,
            config.pads[:2],
            strict=True,
        )
    ]
    steps = {
        ((kh - 1 - a) * dh * config.columns + (kw - 1 - b) * dw) * config.frame.groups
        for a in range(kh)
        for b in range(kw)
    }
    ends = sorted({0, *steps})
    gaps = Counter(end - start for start, end in pairwise(ends))
    for length, lines in gaps.items():
        if length > REGISTER_STEPS:
            s.counter(length - 1)
            s.registers(bits_for(length - 1))
            s.rings.append((lines * beat, length - 1))
        else:
            s.registers(lines * length * beat)
    taps = 1 if tap is not None else kh * kw
    s.registers(taps * beat)
    for rows in outside[0]:
        for columns in outside[1]:
            flags = sum(rows) + sum(columns)
            # All of a tap's flags choose between it and one constant.
            s.counts["pad"] += beat * (flags > 0 and (tap is None or config.mode == "edge"))
            s.registers(late > 0 and flags > 0)
    for axis in outside:
        for flags in axis:
            s.counts["flag"] += sum(flags)
            s.registers(sum(flags) * max(late, 1))


def _pool(s, config, queues):
    window(s, config.window, late=config.window.LATE)
    frame = config.frame
    s.credit_queue(queues[0], config.output.lanes * config.output.bits)
    s.registers(config.latency)
    taps = config.window.taps
    if config.kind == "max":
        s.trees(frame.lanes, taps, frame.bits, kind="larger", levels=config.TREE_LEVELS)
        return
    width = config.requantize.accumulator_bits
    s.trees(
        frame.lanes, taps + bool(config.zero_point), frame.bits, width, levels=config.TREE_LEVELS
    )
    kinds = len(config.counts)
    if kinds > 1:
        for length in (*config.window.shape, frame.groups):
            s.counter(length)
        s.registers((config.window.LATE + config.tree_latency) * bits_for(kinds))
    s.requantize(config.requantize, frame.lanes)


def _global_pool(s, config, queues):
    frame = config.frame
    s.credit_queue(queues[0], config.output.lanes * config.output.bits)
    s.counter(config.pixels)
    s.counter(frame.groups)
    s.registers(2 + config.latency + bits_for(frame.groups))
    width = frame.bits if config.kind == "max" else config.requantize.accumulator_bits
    s.registers(_beat(frame) + frame.lanes * width)
    s.counts["larger" if config.kind == "max" else "accumulate"] += frame.lanes * width
    s.counts["select"] += frame.lanes * width
    if frame.groups > 1:
        s.shallow.append((frame.lanes * width, frame.groups))
    if config.requantize:
        s.requantize(config.requantize, frame.lanes)


def _add(s, config, queues):
    lanes, bits = config.output.lanes, config.frames[0].bits
    width = config.requantize.accumulator_bits
    s.credit_queue(queues[0], lanes * config.output.bits)
    s.registers(config.latency + lanes * (2 * bits + 2 * (width - 1) + width))
    s.counts["adder"] += lanes * width
    s.products[bits + 1, width - bits] += 2 * lanes
    s.requantize(config.requantize, lanes)


def _mul(s, config, queues):
    lanes, bits = config.output.lanes, config.frames[0].bits
    s.credit_queue(queues[0], lanes * config.output.bits)
    s.registers(config.latency + lanes * (2 * (bits + 1) + config.requantize.accumulator_bits))
    s.counts["adder"] += 2 * lanes * (bits + 1)
    s.products[bits + 1, bits + 1] += lanes
    if config.broadcast:
        s.counter(config.frames[0].height * config.frames[0].width)
        s.counter(config.frames[0].groups)
        s.shallow.append((lanes * bits, config.frames[0].groups))
        s.counts["select"] += lanes * bits
    s.requantize(config.requantize, lanes)


def _table(s, config, queues):
    lanes = config.frame.lanes
    s.credit_queue(queues[0], lanes * config.output_bits)
    s.registers(1)
    for _ in range(lanes):
        s.tables.append((config.output_bits, 1 << config.frame.bits, 1))


def _lrn(s, config, queues):
    window(s, config.window)
    frame = config.frame
    lanes, bits, width = frame.lanes, frame.bits + 1, config.requantize.accumulator_bits
    near = [config.neighbours(lane) for lane in range(lanes)]
    codes = len(set().union(*near))
    s.credit_queue(queues[0], lanes * config.output.bits)
    s.registers(config.latency + codes * 3 * bits)
    s.counts["adder"] += codes * bits
    s.products[bits, bits] += codes
    total = config.largest.bit_length()
    for terms in near:
        s.trees(1, len(terms), 2 * bits - 1, total)
    kept = config.precision + 1
    dropped = max(total - kept, 0)
    # What may be dropped is found by a chain of constants, and then dropped.
    s.registers(lanes * (total + bits_for(dropped + 1) + bits_for(config.entries)))
    s.counts["mux"] += lanes * dropped
    s.choose(lanes * dropped // 2 + 1, kept)  # of four in two look-up tables
    s.counts["adder"] += lanes * bits_for(config.entries)
    # Two lanes share a memory with two ports.
    for _ in range(ceil(lanes / 2)):
        s.tables.append((config.factor_bits, config.entries, 1))
    waits = config.SQUARE_LATENCY - 1 + config.tree_latency + config.LOOKUP_LATENCY
    s.registers(lanes * (config.factor_bits + waits * bits + width))
    s.products[bits, config.factor_bits + 1] += lanes
    s.requantize(config.requantize, lanes)


def _pad(s, config, queues):
    window(s, config.window, config.tap)
    s.queue(queues[0], _beat(config.frame))


def _resize(s, config, queues):
    narrow = min(config.lanes, config.frame.lanes) * config.frame.bits
    s.counter(config.factor)
    if config.widens:
        s.registers((config.factor - 1) * narrow)
    else:
        s.choose(config.factor, narrow)
    s.queue(queues[0], config.lanes * config.frame.bits)


def _concat(s, config, queues):
    s.counter(config.output.groups)
    s.choose(len(config.frames), _beat(config.output))
    s.queue(queues[0], _beat(config.output))


def _fork(s, config, queues):
    for queue in queues:
        s.queue(queue, _beat(config.frame))


def _argmax(s, config, queues):
    frame = config.frame
    index = config.output.bits
    s.credit_queue(queues[0], index)
    s.counter(frame.groups)
    s.registers(config.latency)
    s.trees(
        1, frame.lanes, frame.bits + bits_for(frame.lanes), kind="larger", levels=config.TREE_LEVELS
    )


_UNITS: dict[Any, Callable[[Structure, Any, list[QueueConfig]], None]] = {
    AddConfig: _add,
    ArgmaxConfig: _argmax,
    ConcatConfig: _concat,
    ConvConfig: _conv,
    DenseConfig: _dense,
    ForkConfig: _fork,
    GlobalPoolConfig: _global_pool,
    LRNConfig: _lrn,
    MulConfig: _mul,
    PadConfig: _pad,
    PoolConfig: _pool,
    ResizeConfig: _resize,
    TableConfig: _table,
}
