"""A lane of the vector unit: what happens to one column."""

from amaranth.hdl import Cat, Const, EnableInserter, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import Operation
from hwsim.blocks.systolic.vector import (
    CODES,
    POOL_BITS,
    POOL_WINDOWS,
    SQUARES_BITS,
    factors,
)
from hwsim.network.fixed_point import MAXIMUM_SHIFT, MULTIPLIER_BITS

from ..unit import register
from .group import Group

__all__ = [
    "PARAMETER",
    "SCALING",
    "TAP",
    "VectorLane",
    "VectorLaneGroup",
    "entry_of_table",
    "place_in_windows",
]

# What a tile of parameters holds for a column.
PARAMETER = data.StructLayout({"bias": signed(32), "multiplier": MULTIPLIER_BITS, "shift": 6})
# How an instruction scales: the same for all lanes, and steady while its values are in the lane.
SCALING = data.StructLayout(
    {
        "uniform": 1,
        "lookup": 1,
        "zero_point": signed(8),
        "minimum": signed(8),
        "maximum": signed(8),
        "multiplier": MULTIPLIER_BITS,
        "shift": 6,
    }
)
# What to do with a tap. `first` and `centre` come two cycles after the rest, with the product.
TAP = data.StructLayout(
    {
        "operation": Operation,
        "odd": 1,
        "offset": signed(8),
        "factor": MULTIPLIER_BITS,
        "first": 1,
        "centre": 1,
    }
)


def entry_of_table(factor_precision):
    """Layout of an entry of one of the tables."""
    return data.StructLayout(
        {
            "address": range(factors(factor_precision)),
            "code": signed(8),
            "store_code": 1,
            "factor": MULTIPLIER_BITS,
            "store_factor": 1,
        }
    )


def place_in_windows(columns):
    """Layout of what a pixel is to the windows of a pool, in up to so many columns.

    ``along_first`` comes a cycle after the code, with the operand: slots of which nothing is known.
    ``along_last`` comes a cycle later, with ``ends``: whether a window ends with the column, which
    one's slot it is unless the first one's, and which ``column`` of windows. ``down_first`` and
    ``down_last`` say the same of rows, another cycle later.
    """
    return data.StructLayout(
        {
            "along_first": POOL_WINDOWS,
            "along_last": POOL_WINDOWS - 1,
            "ends": 1,
            "column": range(columns),
            "down_first": POOL_WINDOWS,
            "down_last": POOL_WINDOWS - 1,
        }
    )


# The product is formed of the operand's lower bits and its upper ones.
_LOWER = 17


class VectorLane(wiring.Component):
    """From sums, or from taps, to codes.

    ::

        code ──> operands ──┬─> product ──> total ──────────────────┐
                            └─> rows of windows ──> line memory ────┤
        sum ────────────────────────────────────────────────────────┴─> value ──> bias ──> product
                      ──> rounding, shift ──> zero point, bounds ──> table ──> o

    Parameters
    ----------
    parameter_tiles : int
        Parameters that are held ahead.
    pool_columns : int
        Columns of windows of a pool.
    factor_precision : int
        Of the table of factors.

    Members
    -------
    active : in
        Otherwise nothing moves.
    activate : in
        Whether values come from ``sum``,
    pool : in
        or from windows of a pool.
    sum : in, signed(32)
    code : in, signed(8)
        A tap's code.
    inside : in
        With ``code``: whether it counts.
    tap : in, `TAP`
    windows : in, `place_in_windows`
    scaling : in, `SCALING`
    parameter : in, `PARAMETER`
    parameter_store : in
        Whether it is to be stored,
    parameter_to, parameter_from : in
        in this place; and the place from which it is to be taken,
    parameter_take : in
        now.
    entry : in, `entry_of_table`
        Of a table.
    o : out, signed(8)
        `hwsim.blocks.systolic.vector.SCALE_LATENCY` cycles after the value.
    """

    def __init__(self, *, parameter_tiles, pool_columns, factor_precision):
        self._parameter_tiles = parameter_tiles
        self._pool_columns = pool_columns
        self._factor_precision = factor_precision
        super().__init__(
            self.ports(
                parameter_tiles=parameter_tiles,
                pool_columns=pool_columns,
                factor_precision=factor_precision,
            )
        )

    @staticmethod
    def ports(*, parameter_tiles, pool_columns, factor_precision):
        """Members of the signature."""
        return {
            "active": In(1),
            "activate": In(1),
            "pool": In(1),
            "sum": In(signed(32)),
            "code": In(signed(8)),
            "inside": In(1),
            "tap": In(TAP),
            "windows": In(place_in_windows(pool_columns)),
            "scaling": In(SCALING),
            "parameter": In(PARAMETER),
            "parameter_store": In(1),
            "parameter_to": In(range(parameter_tiles)),
            "parameter_from": In(range(parameter_tiles)),
            "parameter_take": In(1),
            "entry": In(entry_of_table(factor_precision)),
            "o": Out(signed(8)),
        }

    @property
    def parameter_tiles(self):
        return self._parameter_tiles

    @property
    def pool_columns(self):
        return self._pool_columns

    @property
    def factor_precision(self):
        return self._factor_precision

    def elaborate(self, platform):
        m = Module()
        bias, multiplier, shift = self._parameters(m)
        combined, multiplier = self._combine(m, multiplier)
        value = register(m, Mux(self.activate, self.sum, combined), "value")
        biased = register(m, value + bias, "biased")
        lower = register(m, biased[:_LOWER] * multiplier, "lower")
        upper = register(m, biased[_LOWER:].as_signed() * multiplier, "upper")
        scaled = register(
            m, (upper << _LOWER) + lower, "scaled", signed(len(biased) + MULTIPLIER_BITS)
        )
        code = self._saturate(m, self._shift(m, scaled, shift))
        m.d.comb += self.o.eq(self._lookup(m, code))
        return EnableInserter(self.active)(m)

    def _parameters(self, m):
        """Bias, multiplier and shift from the second cycle of an instruction on."""
        m.submodules.parameters = memory = Memory(
            shape=unsigned(PARAMETER.size), depth=self.parameter_tiles, init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        taken = data.View(PARAMETER, read.data)
        m.d.comb += [
            write.addr.eq(self.parameter_to),
            write.data.eq(self.parameter),
            write.en.eq(self.parameter_store),
            read.addr.eq(self.parameter_from),
            read.en.eq(self.parameter_take),
        ]
        uniform = self.scaling.uniform
        return (
            register(m, Mux(uniform, 0, taken.bias), "bias", signed(32)),
            register(m, Mux(uniform, self.scaling.multiplier, taken.multiplier), "multiplier"),
            register(m, Mux(uniform, self.scaling.shift, taken.shift), "shift"),
        )

    def _combine(self, m, multiplier):
        """The value that the taps make, and its multiplier, two cycles later.

        The value comes `TAP_LATENCY` cycles after the code of the last tap, that of NORMALIZE
        `FACTOR_LATENCY` cycles later, and that of a pool `POOL_LATENCY` cycles after the code.
        """
        tap = self.tap
        is_max, is_product, is_normalize = (
            tap.operation == operation
            for operation in (Operation.MAX, Operation.PRODUCT, Operation.NORMALIZE)
        )
        normal = Signal(signed(9))
        m.d.comb += normal.eq(self.code - tap.offset)
        # A tap outside counts as 0, and as the smallest code.
        taken = Signal(signed(9))
        m.d.comb += taken.eq(Mux(self.inside, normal, Mux(is_max, -128, 0)))
        operand = register(m, taken, "operand")
        of_tap = Mux(is_product, Mux(tap.odd, operand, 0), tap.factor)
        factor = register(
            m,
            Mux(is_normalize, taken, of_tap),
            "factor",
            signed(MULTIPLIER_BITS + 1),
        )
        product = register(m, operand * factor, "product")
        passed = register(m, operand, "passed")

        total = Signal(signed(32), reset_less=True)
        centre = Signal(signed(9), reset_less=True)
        m.d.sync += total.eq(Mux(tap.first, 0, total) + product)
        with m.If(tap.centre):
            m.d.sync += centre.eq(passed)
        centre = register(m, centre, "centre_late")

        value = Mux(is_normalize, centre, total)
        value = Mux(self.pool, self._pool(m, operand, is_max), value)
        return value, Mux(is_normalize & ~self.activate, self._factor(m, total), multiplier)

    def _pool(self, m, operand, is_max):
        """The value of a window that ends with an operand, three cycles later.

        First a row of the window, then, in a word for each column, what is known of the windows
        that have begun. Between two uses of a word lies a cycle at least.
        """
        place = self.windows

        def join(first, known, new):
            total = (known + new)[:POOL_BITS].as_signed()
            larger = known[:8].as_signed() > new[:8].as_signed()
            return Mux(first, new, Mux(is_max, Mux(larger, known, new), total))

        def of_slot(last, values):
            value = values[0]
            for slot in range(1, POOL_WINDOWS):
                value = Mux(last[slot - 1], values[slot], value)
            return value

        rows = []
        for slot in range(POOL_WINDOWS):
            row = Signal(signed(POOL_BITS), name=f"row_{slot}", reset_less=True)
            m.d.sync += row.eq(join(place.along_first[slot], row, operand))
            rows.append(row)
        row = register(m, of_slot(place.along_last, rows), "row", signed(POOL_BITS))
        m.submodules.lines = memory = Memory(
            shape=data.ArrayLayout(signed(POOL_BITS), POOL_WINDOWS),
            depth=self.pool_columns,
            init=[],
        )
        write, read = memory.write_port(), memory.read_port()
        known = [join(place.down_first[slot], read.data[slot], row) for slot in range(POOL_WINDOWS)]
        m.d.comb += [
            read.addr.eq(place.column),
            read.en.eq(place.ends),
            write.addr.eq(register(m, place.column, "written_column")),
            write.en.eq(register(m, place.ends, "written")),
            *(write.data[slot].eq(known[slot]) for slot in range(POOL_WINDOWS)),
        ]
        return register(m, of_slot(place.down_last, known), "window", signed(POOL_BITS))

    def _factor(self, m, total):
        """The entry for a sum of squares, three cycles later."""
        precision = self.factor_precision
        entries = factors(precision)
        m.submodules.factors = memory = Memory(
            shape=unsigned(MULTIPLIER_BITS), depth=entries, init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        # A sum is cut to so many bits.
        kept = precision + 1
        dropped = register(m, _bit_length(total[kept:SQUARES_BITS]), "dropped")
        upper = register(m, total[:SQUARES_BITS], "squares")
        for k in reversed(range(len(dropped))):
            upper = Mux(dropped[k], upper[1 << k :], upper)[: kept + (1 << k) - 1]
        index = Signal(range(entries), reset_less=True)
        m.d.sync += index.eq(Cat(Const(0, precision), dropped) + upper)
        m.d.comb += [
            write.addr.eq(self.entry.address),
            write.data.eq(self.entry.factor),
            write.en.eq(self.entry.store_factor),
            read.addr.eq(index),
        ]
        return read.data

    def _shift(self, m, value, shift):
        """``value / 2**shift`` to the nearest, ties to even: four cycles.

        That is the floor after half, less one unit if the floor is even, was added.
        """
        # Where nothing is cut off, half is 0.
        half = Signal(MAXIMUM_SHIFT, reset_less=True)
        below_half = Signal(MAXIMUM_SHIFT - 1, reset_less=True)
        m.d.sync += [
            half.eq(
                (Const(1, MAXIMUM_SHIFT) << (shift - 1)[:6])[:MAXIMUM_SHIFT]
                & shift.any().replicate(MAXIMUM_SHIFT)
            ),
            below_half.eq(half - half.any()),
        ]
        odd = register(m, (value[1:] & half).any(), "odd")
        value = register(m, value, "exact")
        value = register(m, value + below_half + odd, "rounded", signed(len(value) + 1))
        value = register(m, value >> shift[:3], "shifted_little")
        return register(m, value >> Cat(Const(0, 3), shift[3:]), "shifted")

    def _saturate(self, m, value):
        """The code: two cycles."""
        # Within these bounds, everything beyond the code's bounds still is so with the zero point.
        bits = 9
        rest = value[bits - 1 :]
        negative = value[-1]
        near = Mux(
            rest.all() | ~rest.any(), value[:bits], Cat((~negative).replicate(bits - 1), negative)
        )
        near = register(m, near, "near", signed(bits))
        moved = Signal(signed(bits + 1))
        m.d.comb += moved.eq(near + self.scaling.zero_point)
        low, high = self.scaling.minimum, self.scaling.maximum
        # It is reset, although nobody reads it then, so that the module's reset has an effect.
        held = Signal(signed(8))
        m.d.sync += held.eq(Mux(moved < low, low, Mux(moved > high, high, moved)))
        return held

    def _lookup(self, m, code):
        """The entry for a code, or the code: a cycle later."""
        m.submodules.codes = memory = Memory(shape=signed(8), depth=CODES, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.entry.address),
            write.data.eq(self.entry.code),
            write.en.eq(self.entry.store_code),
            # Entry 0 is for the smallest code.
            read.addr.eq(code ^ 0x80),
        ]
        return Mux(self.scaling.lookup, read.data, register(m, code, "unchanged"))


class VectorLaneGroup(Group):
    """Lanes side by side."""

    BLOCK = VectorLane
    OWN = ("sum", "code", "inside", "parameter", "parameter_store")


def _bit_length(value):
    """The number of bits without leading zeros, of less than 16."""
    result = []
    for bit in (8, 4, 2, 1):
        large = value[bit - 1 :].any()
        result.append(large)
        if bit > 1:
            value = Mux(large, value[bit:], value[: bit - 1])
    return Cat(reversed(result))
