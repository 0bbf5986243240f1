"""Look-up tables, flip-flops, DSPs and block RAMs of a design, from its configuration alone.

`hwsim.models.structure` counts what a unit is made of. Here multipliers and memories become DSPs
and RAMs by the rules that Yosys follows, and the rest becomes look-up tables and flip-flops by
coefficients that were fitted to runs of synthesis, which are kept in ``hwsim/models/data/`` (see
``benchmarks/fit_cost.py``).
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import ceil

from hwsim.blocks.streaming import StreamingPlan
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.vector import CODES, FACTOR_BYTES, POOL_BITS, POOL_WINDOWS, factors
from hwsim.blocks.unit import UnitConfig

from . import structure

__all__ = ["FAMILIES", "Cost", "cost"]


@dataclass(frozen=True)
class Cost:
    """What a design takes, as `hwsim.synth` counts it.

    Members
    -------
    lut, ff, dsp, bram : float
    """

    lut: float
    ff: float
    dsp: float
    bram: float

    def __add__(self, other):
        return Cost(
            self.lut + other.lut, self.ff + other.ff, self.dsp + other.dsp, self.bram + other.bram
        )


@dataclass(frozen=True)
class Rules:
    """How Yosys maps memories and multipliers for a family.

    Members
    -------
    widths : tuple of (int, int)
        Width and depth of a block RAM in each of its shapes, for two ports.
    block_cost, shallow_cost : float
        What `memory_libmap` takes a block, and a distributed RAM, to cost.
    shallow : (int, int)
        Width and depth of a distributed RAM.
    shallow_luts : int
        Look-up tables that it takes.
    row_cost : float
        What choosing between rows of distributed RAM is taken to cost, for each bit.
    lut_inputs : int
    dsp : (int, int)
        Widths, with sign, of a multiplier.
    slack : int
        So many bits more than that are still multiplied in logic.
    """

    widths: tuple[tuple[int, int], ...]
    block_cost: float
    shallow_cost: float
    shallow: tuple[int, int]
    shallow_luts: int
    row_cost: float
    lut_inputs: int
    dsp: tuple[int, int]
    slack: int


FAMILIES = {
    "ecp5": Rules(
        widths=((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512)),
        block_cost=128,
        shallow_cost=4,
        shallow=(4, 16),
        shallow_luts=6,
        row_cost=0.5,
        lut_inputs=4,
        dsp=(18, 18),
        slack=1,
    ),
}
# What a bit of a table costs in logic (yosys, memory_libmap, -logic-cost-rom).
_TABLE_COST = 1 / 16
# Operands, with sign, of two products at once: a DSP48 takes them, an 18 x 18 multiplier does not.
_PACKED = 25, 9
# What it costs, for each bit, that a block RAM does not say what is read when the same word is
# written.
_COLLISION = 0.5
# Words of the longest delay line outside of block RAM, as in `hwsim.synth.netlist`.
_RING_IN_LOGIC = 32


def blocks(width, depth, rules):
    """Block RAMs of a memory; rows share a block as long as it has bits left beside one another."""
    return min(ceil(width * ceil(depth / d) / w) for w, d in rules.widths)


def _shallow(width, depth, rules):
    w, d = rules.shallow
    rows = ceil(depth / d)
    return ceil(width * rows / w), rows


def dsps(products, rules):
    """Multipliers of products whose operands have these widths, with sign."""

    def parts(width, limit):
        # Each but the last part of a wide operand is unsigned.
        return max(1, ceil((width - rules.slack - 1) / (limit - 1)))

    total = 0
    for (left, right), count in products.items():
        a, b = rules.dsp
        either = parts(left, a) * parts(right, b), parts(left, b) * parts(right, a)
        total += count * min(either)
    return total


def _distinct(width, depth):
    """How many columns of a table differ, as they are found in bits without order.

    Yosys keeps one of those that are equal.
    """
    if depth > 20:
        return width
    kinds = 1 << depth
    return kinds * (1 - (1 - 1 / kinds) ** width)


def features(s, rules):
    """What the coefficients are for, DSPs, and block RAMs, of a `Structure`."""
    found = Counter({name: s.counts[name] for name in s.counts})
    brams = 0
    for width, depth, late in s.tables:
        count = blocks(width, depth, rules)
        if width * depth * _TABLE_COST > count * rules.block_cost:
            brams += count
        else:
            columns = _distinct(width, depth)
            found["register"] += columns * late
            found["table"] += columns * max(depth / 2**rules.lut_inputs, 0.5)
    for kind, memories in (("ring", s.rings), ("queue", s.memories), ("shallow", s.shallow)):
        for width, depth in memories:
            count, rows = _shallow(width, depth, rules)
            price = count * rules.shallow_cost + rules.row_cost * (width * (rows - 1) + rows)
            deep = blocks(width, depth, rules)
            if price > deep * rules.block_cost or (kind == "ring" and depth > _RING_IN_LOGIC):
                brams += deep
                continue
            found["ram"] += count * rules.shallow_luts
            found["row"] += width * (rows - 1)
            found["register"] += width * {"ring": 2, "queue": 1, "shallow": 0}[kind]
    for operands, count in s.products.items():
        if max(operands) > rules.dsp[0]:
            found["partial"] += count * sum(operands)
    found["one"] = 1
    return dict(found), dsps(s.products, rules), brams


@cache
def coefficients(family):
    """Fitted coefficients: for ``lut`` and ``ff`` a number for each feature."""
    text = resources.files(__package__).joinpath(f"data/cost_{family}.json").read_text("utf-8")
    return json.loads(text)


def _weigh(fitted, found):
    return [
        sum(fitted[name].get(feature, 0.0) * value for feature, value in found.items())
        for name in ("lut", "ff")
    ]


def unit_cost(config, depths=(), family="ecp5"):
    """`Cost` of a unit of a streaming pipeline."""
    rules = FAMILIES[family]
    found, dsp, bram = features(structure.unit(config, depths), rules)
    lut, ff = _weigh(coefficients(family)["streaming"], found)
    return Cost(lut, ff, dsp, bram)


# Parts of a systolic accelerator.
PARTS = ("control", "sequencer", "reader", "matrix", "vector", "writer", "buffer")


def part_features(part, config, rules):
    """As `features`, of a part of a systolic accelerator."""
    bank_bits = structure.bits_for(config.banks)
    word_bits = structure.bits_for(config.sections * config.bank_depth)
    turning = config.banks * bank_bits
    dsp = bram = 0
    found = {"one": 1}
    memories = []  # (how many, width, depth)
    if part == "matrix":
        found |= {
            "lane": config.rows * structure.bits_for(config.buffer_bytes),
            "turned_word": turning * (word_bits + 1),
            "turned_code": turning * 8,
            "column": config.cols,
            "element": config.array.elements,
        }
        dsp = config.array.elements * (dsps({_PACKED: 1}, rules) if config.packed else 1)
        width = max(config.axi_bytes, config.row_bytes)
        words = config.weight_words * config.axi_bytes // width
        memories = [
            (2 * config.cols, 32, config.accumulator_rows),
            (width, 8, max(config.weight_tiles * words, 2)),
        ]
    elif part == "vector":
        found |= {"column": config.cols}
        # A tap's product, and the two parts of a scaled sum.
        dsp = config.cols * dsps({(9, 18): 1, (18, 18): 1, (16, 18): 1}, rules)
        entries = factors(config.factor_precision)
        table_bytes = max(config.axi_bytes, FACTOR_BYTES)
        memories = [
            (config.cols, 17, entries),
            (config.cols, 8, CODES),
            (config.cols, POOL_WINDOWS * POOL_BITS, config.pool_columns),
            (1, 8 * table_bytes, entries * FACTOR_BYTES // table_bytes),
        ]
    elif part == "buffer":
        found |= {
            "bank": config.banks * config.sections,
            "address": config.banks * word_bits,
            "turned_code": turning * 8,
        }
        memories = [(config.banks * config.sections, 8, config.bank_depth)]
    elif part in ("reader", "writer"):
        found |= {"byte": config.axi_bytes}
    for count, width, depth in memories:
        small, rows = _shallow(width, depth, rules)
        price = small * rules.shallow_cost + rules.row_cost * (width * (rows - 1) + rows)
        deep = blocks(width, depth, rules)
        if price > deep * rules.block_cost + _COLLISION * width:
            bram += count * deep
        else:
            found["ram"] = found.get("ram", 0) + count * small * rules.shallow_luts
            found["row"] = found.get("row", 0) + count * width * (rows - 1)
    return found, dsp, bram


def part_cost(part, config, family="ecp5"):
    """`Cost` of a part of a systolic accelerator, by its name in the hardware."""
    found, dsp, bram = part_features(part, config, FAMILIES[family])
    lut, ff = _weigh(coefficients(family)["systolic"][part], found)
    return Cost(lut, ff, dsp, bram)


def cost(design, family="ecp5"):
    """What a design takes of an FPGA, as `hwsim.synth.synthesize` would count it.

    Parameters
    ----------
    design : StreamingPlan, Systolic, UnitConfig, Design or SystolicDesign
    family : str
        A key of `FAMILIES`.

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        For a family without a calibration.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be {', '.join(FAMILIES)}, not {family!r}")
    design = getattr(design, "plan", None) or getattr(design, "config", None) or design
    if isinstance(design, UnitConfig):
        return unit_cost(design, (), family)
    if isinstance(design, Systolic):
        return sum((part_cost(part, design, family) for part in PARTS), Cost(0, 0, 0, 0))
    if not isinstance(design, StreamingPlan):
        raise TypeError(
            "design must be a plan, a configuration or a design, not " + type(design).__name__
        )
    fitted = coefficients(family)["top"]
    total = Cost(fitted["lut"], fitted["ff"], 0, 0)
    for stage in design.stages:
        total += unit_cost(stage.config, [queue.depth for queue in stage.queues], family)
    return total
