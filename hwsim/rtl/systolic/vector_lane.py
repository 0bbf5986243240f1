"""A lane of the vector unit: what happens to one column."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import Operation
from hwsim.network.fixed_point import MAXIMUM_SHIFT, MULTIPLIER_BITS

from ..unit import register

__all__ = ["CODES", "PARAMETER", "SCALING", "TAP", "TotalOfTaps", "VectorLane"]

# Entries of the table of codes.
CODES = 256
# What a tile of parameters holds for a column.
PARAMETER = data.StructLayout(
    {"bias": signed(32), "multiplier": MULTIPLIER_BITS, "unused_0": 7, "shift": 6, "unused_1": 2}
)
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
# The product is formed of the operand's lower bits and its upper ones.
_LOWER = 17


class VectorLane(wiring.Component):
    """From sums, or from taps, to codes.

    ::

        code ──> operands ──> product ──> total ──┐
        sum ──────────────────────────────────────┴─> value ──> scaling ──> table ──> o

    Parameters
    ----------
    parameter_tiles : int
        Parameters that are held ahead.

    Members
    -------
    activate : in
        Whether values come from ``sum``.
    sum : in, signed(32)
    code : in, signed(8)
        A tap's code.
    inside : in
        With ``code``: whether it counts.
    tap : in, `TAP`
    scaling : in, `SCALING`
    parameter : in, `PARAMETER`
    parameter_store : in
        Whether it is to be stored,
    parameter_to, parameter_from : in
        in this place; and the place from which it is to be taken,
    parameter_take : in
        now.
    table : in, address, code, enable
        An entry of the table of codes.
    o : out, signed(8)
        `hwsim.blocks.systolic.vector.SCALE_LATENCY` cycles after the value.
    """

    def __init__(self, *, parameter_tiles):
        self._parameter_tiles = parameter_tiles
        super().__init__(
            {
                "activate": In(1),
                "sum": In(signed(32)),
                "code": In(signed(8)),
                "inside": In(1),
                "tap": In(TAP),
                "scaling": In(SCALING),
                "parameter": In(PARAMETER),
                "parameter_store": In(1),
                "parameter_to": In(range(parameter_tiles)),
                "parameter_from": In(range(parameter_tiles)),
                "parameter_take": In(1),
                "table_address": In(range(CODES)),
                "table_code": In(signed(8)),
                "table_enable": In(1),
                "o": Out(signed(8)),
            }
        )

    @property
    def parameter_tiles(self):
        return self._parameter_tiles

    def elaborate(self, platform):
        m = Module()
        bias, multiplier, shift = self._parameters(m)
        value = register(m, Mux(self.activate, self.sum, self._combine(m)), "value")
        biased = register(m, value + bias, "biased")
        lower = register(m, biased[:_LOWER] * multiplier, "lower")
        upper = register(m, biased[_LOWER:].as_signed() * multiplier, "upper")
        product = register(
            m, (upper << _LOWER) + lower, "product", signed(len(biased) + MULTIPLIER_BITS)
        )
        code = self._saturate(m, self._shift(m, product, shift))
        m.d.comb += self.o.eq(self._lookup(m, code))
        return m

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

    def _combine(self, m):
        """The value that the taps make, three cycles after the last."""
        tap = self.tap
        is_max = tap.operation == Operation.MAX
        normal = Signal(signed(9))
        m.d.comb += normal.eq(self.code - tap.offset)
        # A tap outside counts as 0, and as the smallest code.
        code = register(m, Mux(self.inside, normal, Mux(is_max, -128, 0)), "code", signed(9))
        factor = Signal(signed(MULTIPLIER_BITS + 1))
        with m.Switch(tap.operation):
            with m.Case(Operation.PRODUCT):
                m.d.comb += factor.eq(Mux(tap.odd, code, 0))
            with m.Default():
                m.d.comb += factor.eq(tap.factor)
        product = register(m, code * register(m, factor, "factor"), "product")
        passed = register(m, code[:8].as_signed(), "passed")

        total = Signal(signed(32), reset_less=True)
        largest = Signal(signed(8), reset_less=True)
        m.d.sync += total.eq(Mux(tap.first, 0, total) + product)
        with m.If(tap.first | (passed > largest)):
            m.d.sync += largest.eq(passed)
        return Mux(is_max, largest, total)

    def _shift(self, m, value, shift):
        """``value / 2**shift`` to the nearest, ties to even: four cycles.

        That is the floor after half, less one unit if the floor is even, was added.
        """
        odd = register(m, (value >> shift)[0] & shift.any(), "odd")
        value = register(m, value, "exact")
        below_half = Cat(shift > bit + 1 for bit in range(MAXIMUM_SHIFT - 1))
        value = register(m, value + below_half + odd, "rounded", signed(len(value) + 1))
        value = register(m, value >> shift[:3], "shifted_little")
        return register(m, value >> Cat(Const(0, 3), shift[3:]), "shifted")

    def _saturate(self, m, value):
        """The code: two cycles."""
        # Within these bounds, everything beyond the code's bounds still is so with the zero point.
        bits = 10
        rest = value[bits - 1 :]
        negative = value[-1]
        near = Mux(
            rest.all() | ~rest.any(), value[:bits], Cat((~negative).replicate(bits - 1), negative)
        )
        near = register(m, near, "near", signed(bits))
        moved = Signal(signed(bits + 1))
        m.d.comb += moved.eq(near + self.scaling.zero_point)
        low, high = self.scaling.minimum, self.scaling.maximum
        held = Mux(moved < low, low, Mux(moved > high, high, moved))
        return register(m, held, "held", signed(8))

    def _lookup(self, m, code):
        """The entry for a code, or the code: a cycle later."""
        m.submodules.table = memory = Memory(shape=signed(8), depth=CODES, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.table_address),
            write.data.eq(self.table_code),
            write.en.eq(self.table_enable),
            # Entry 0 is for the smallest code.
            read.addr.eq(code ^ 0x80),
        ]
        return Mux(self.scaling.lookup, read.data, register(m, code, "unchanged"))
