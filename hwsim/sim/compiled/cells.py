"""Meaning of the cells of RTLIL.

The word-level cells are described in the Yosys manual, "Word-level cells" and "Gate-level cells",
and exactly by Yosys's models of them, ``techlibs/common/simlib.v``. An operand narrower than the
result is extended by its sign only where all operands are signed.

A combinational cell becomes vectors whose chunks may name a `Logic` in place of a wire: what the
operation is, and which bits of it need which bits of the operands.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from .rtlil import slice_of, width_of

__all__ = ["Builder", "Flop", "Logic", "flop_of", "outputs_of"]


class Builder:
    """Makes nodes in one group, and folds what costs nothing to fold."""

    def __init__(self, graph, group):
        self.graph = graph
        self.group = group
        self._starts = {}

    def node(self, op, width, *args, attr=None):
        """A node, as it is."""
        return self.graph.node(op, width, args, attr, self.group)

    def const(self, value, width):
        """A constant."""
        return self.graph.const(value, width, self.group)

    def slice(self, a, low, width):
        """Bits ``low`` to ``low + width - 1`` of ``a``, which has them."""
        while True:
            if width == a.width:
                return a
            op = a.op
            if op == "slice":
                low += a.attr
                a = a.args[0]
            elif op == "const":
                return self.const(a.attr >> low, width)
            elif op == "concat":
                starts = self._starts.get(a)
                if starts is None:
                    starts = [0]
                    for part in a.args:
                        starts.append(starts[-1] + part.width)
                    self._starts[a] = starts
                k = bisect_right(starts, low) - 1
                if low + width > starts[k + 1]:
                    return self._slices(a.args, starts, k, low, width)
                low -= starts[k]
                a = a.args[k]
            elif op in ("zext", "sext") and low + width <= a.args[0].width:
                a = a.args[0]
            elif op == "zext" and low >= a.args[0].width:
                return self.const(0, width)
            else:
                return self.node("slice", width, a, attr=low)

    def _slices(self, parts, starts, k, low, width):
        end = low + width
        result = []
        while low < end:
            taken = min(end, starts[k + 1]) - low
            result.append(self.slice(parts[k], low - starts[k], taken))
            low += taken
            k += 1
        return self.concat(result)

    def concat(self, parts):
        """Parts in one vector, the first in the lowest bits."""
        if len(parts) == 1:
            return parts[0]
        merged = [parts[0]]
        for part in parts[1:]:
            last = merged[-1]
            if part.op == "const" and last.op == "const":
                value = last.attr | part.attr << last.width
                merged[-1] = self.const(value, last.width + part.width)
                continue
            if part.op == "slice":
                a = part.args[0]
                # A neighbour below is a slice of the same value, or its lowest bits.
                if last.op == "slice" and last.args[0] is a and last.attr + last.width == part.attr:
                    merged[-1] = self.slice(a, last.attr, last.width + part.width)
                    continue
            merged.append(part)
        if len(merged) == 1:
            return merged[0]
        return self.node("concat", sum(part.width for part in merged), *merged)

    def extend(self, a, width, signed):
        """``a`` with exactly ``width`` bits."""
        if a.width == width:
            return a
        if a.width > width:
            return self.slice(a, 0, width)
        if a.op == "const":
            value = a.attr
            if signed and value >> (a.width - 1):
                value -= 1 << a.width
            return self.const(value, width)
        if not signed and a.op == "zext":
            a = a.args[0]
        return self.node("sext" if signed else "zext", width, a)

    def not_(self, a):
        """Complement."""
        if a.op == "const":
            return self.const(~a.attr, a.width)
        if a.op == "not":
            return a.args[0]
        return self.node("not", a.width, a)

    def and_(self, a, b):
        """Conjunction."""
        for x, y in ((a, b), (b, a)):
            if x.op == "const":
                if not x.attr:
                    return x
                if x.attr == (1 << x.width) - 1:
                    return y
        return a if a is b else self.node("and", a.width, a, b)

    def or_(self, a, b):
        """Disjunction."""
        for x, y in ((a, b), (b, a)):
            if x.op == "const":
                if not x.attr:
                    return y
                if x.attr == (1 << x.width) - 1:
                    return x
        return a if a is b else self.node("or", a.width, a, b)

    def xor(self, a, b):
        """Exclusive disjunction."""
        return self.node("xor", a.width, a, b)

    def eq(self, a, value):
        """Whether ``a`` is the constant ``value``, 1 bit."""
        if a.op == "const":
            return self.const(int(a.attr == value), 1)
        if a.width == 1:
            return a if value else self.not_(a)
        return self.node("eq", 1, a, self.const(value, a.width))

    def mux(self, s, a, b):
        """``a`` where ``s`` is 1, else ``b``."""
        if s.op == "not":
            s, a, b = s.args[0], b, a
        if s.op == "const":
            return a if s.attr else b
        # The inner one of two with the same select is decided by the outer one.
        while a.op == "mux" and a.args[0] is s:
            a = a.args[1]
        while b.op == "mux" and b.args[0] is s:
            b = b.args[2]
        if a is b:
            return a
        return self.node("mux", a.width, s, a, b)

    def any(self, a):
        """Whether any bit of ``a`` is set, 1 bit."""
        if a.width == 1:
            return a
        return self.node("reduce_or", 1, a)

    def select(self, words, index):
        """``words[index]``: a tree over the bits of ``index``, which has as many as it takes."""
        for k in range(index.width):
            bit = self.slice(index, k, 1)
            words = [self.mux(bit, words[i + 1], words[i]) for i in range(0, len(words), 2)]
        return words[0]


# An operand: a vector, the width that it is brought to, and whether it is extended by its sign.
Operand = tuple


@dataclass(eq=False, slots=True)
class Logic:
    """A combinational operation with a result of ``width`` bits.

    Bit i of the result needs bit i of each of the ``lanes``, which are ``width`` wide, and all of
    ``whole``. In a sum it also needs the lower bits of the lanes: ``carry`` is then the carry into
    bit 0, and not None; where it is 1 the last lane is subtracted from the other, if there is one.
    ``compute(builder, lanes, whole)`` makes the node, of any range of bits if not of a sum; for a
    word of a memory, ``compute`` is the memory, and ``whole`` the address.
    """

    width: int
    lanes: list[Operand]
    whole: list[Operand]
    compute: Any
    carry: int | None = None
    name: str = ""
    source: str = ""


class _View:
    """A cell's parts in the form that the functions below need."""

    def __init__(self, cell):
        self.ports = cell.ports
        self.parameters = cell.parameters
        self.width = width_of(cell.ports.get("Y", ()))
        self.signed = bool(cell.parameters.get("A_SIGNED"))
        self.both_signed = self.signed and bool(cell.parameters.get("B_SIGNED"))

    def of(self, port):
        return self.ports.get(port, ())

    def whole(self, port, width=None, signed=False):
        vector = self.ports.get(port, ())
        return vector, max(1, width_of(vector)) if width is None else width, signed

    def size(self, *ports):
        """Greatest width among result and ports."""
        return max(1, self.width, *(width_of(self.of(port)) for port in ports))


def outputs_of(cell):
    """Vectors that a combinational cell puts out, by port, or None for a type not known."""
    make = _CELLS.get(cell.type)
    if make is None:
        return None
    view = _View(cell)
    result = make(view)
    return result if isinstance(result, dict) else {"Y": result}


def _chunk(logic, low=0, width=None):
    return logic, low, logic.width if width is None else width


def _vector(logic):
    return (_chunk(logic),) if logic.width else ()


def _bitwise(compute, ports="AB"):
    """Cell whose operands are brought to the width of the result."""

    def make(view):
        signed = view.both_signed if len(ports) == 2 else view.signed
        lanes = [view.whole(port, view.width, signed) for port in ports]
        return _vector(Logic(view.width, lanes, [], compute))

    return make


def _flag(view, whole, compute):
    """A result of one bit, with zeros above."""
    result = (_chunk(Logic(1, [], whole, compute)),)
    return (*result, (None, 0, view.width - 1)) if view.width > 1 else result[: view.width]


def _reduce(op, invert=False):
    def compute(b, _, whole):
        (a,) = whole
        result = a if a.width == 1 else b.node(op, 1, a)
        return b.not_(result) if invert else result

    # No bits at all: all of them are set, none is, and their number is even.
    empty = int((op == "reduce_and") != invert)
    return lambda v: (
        _flag(v, [v.whole("A")], compute)
        if v.of("A")
        else ((None, empty, v.width),)
        if v.width
        else ()
    )


def _logic(op):
    return lambda v: _flag(
        v,
        [v.whole("A"), v.whole("B")],
        lambda b, _, whole: getattr(b, op)(b.any(whole[0]), b.any(whole[1])),
    )


def _compare(op, swapped=False):
    def make(v):
        size = max(1, width_of(v.of("A")), width_of(v.of("B")))
        ports = "BA" if swapped else "AB"
        name = ("s" if v.both_signed else "u") + op if op in ("lt", "le") else op
        return _flag(
            v,
            [v.whole(port, size, v.both_signed) for port in ports],
            lambda b, _, whole: b.node(name, 1, *whole),
        )

    return make


def _sum(op, carry, ports):
    def make(v):
        signed = v.both_signed if len(ports) == 2 else v.signed
        lanes = [v.whole(port, v.width, signed) for port in ports]
        return _vector(
            Logic(v.width, lanes, [], lambda b, lanes, _: b.node(op, lanes[0].width, *lanes), carry)
        )

    return make


def _multiply(v):
    whole = [v.whole(port, v.width, v.both_signed) for port in "AB"]
    return _vector(Logic(v.width, [], whole, lambda b, _, w: b.node("mul", w[0].width, *w)))


def _divide(kind, rounding):
    def make(v):
        size = v.size("A", "B")
        # Without signs both roundings are one.
        op = f"s{kind}_{rounding}" if v.both_signed else f"{kind}_floor"
        whole = [v.whole(port, size, v.both_signed) for port in "AB"]
        width = v.width
        return _vector(
            Logic(width, [], whole, lambda b, _, w: b.slice(b.node(op, size, *w), 0, width))
        )

    return make


def _power(v):
    """Square and multiply, over the bits of the exponent."""
    width = v.width
    exponent_signed = bool(v.parameters.get("B_SIGNED")) and bool(v.of("B"))

    def compute(b, _, whole):
        base, exponent = whole
        result, square = b.const(1, width), base
        bits = exponent.width - exponent_signed
        for k in range(bits):
            factor = b.node("mul", width, result, square)
            result = b.mux(b.slice(exponent, k, 1), factor, result)
            if k + 1 < bits:
                square = b.node("mul", width, square, square)
        if not exponent_signed:
            return result
        # To a negative power 1 stays 1, -1 is 1 or -1, and all others round to 0.
        ones = b.const(-1, width)
        inverse = b.mux(b.eq(base, 1), b.const(1, width), b.const(0, width))
        if v.signed:
            odd = b.mux(b.slice(exponent, 0, 1), ones, b.const(1, width))
            inverse = b.mux(b.eq(base, ones.attr), odd, inverse)
        return b.mux(b.slice(exponent, bits, 1), inverse, result)

    # The exact power is cut off at the result's width, so that the base may be as well, except
    # where its value decides.
    if exponent_signed:
        width = v.size("A") + 1
        logic = Logic(width, [], [v.whole("A", width, v.signed), v.whole("B")], compute)
        return slice_of((_chunk(logic),), 0, v.width)
    return _vector(Logic(width, [], [v.whole("A", width, v.signed), v.whole("B")], compute))


def _shift(kind):
    """Shifts; ``kind`` is the cell's type without the dollar sign."""

    def make(v):
        signed = v.signed and kind != "shiftx"
        amount = v.of("B")
        both_ways = kind in ("shift", "shiftx") and bool(v.parameters.get("B_SIGNED"))
        left = kind in ("shl", "sshl")
        if all(chunk[0] is None for chunk in amount):
            return _shift_by_constant(v, kind, signed, _value(amount, both_ways))
        width = v.width
        if left:
            whole = [v.whole("A", width, signed), v.whole("B")]
            return _vector(Logic(width, [], whole, lambda b, _, w: b.node("shl", width, *w)))
        size = v.size("A")
        op = "sshr" if kind == "sshr" and signed else "shr"

        def compute(b, _, whole):
            a, amount = whole
            result = b.node(op, size, a, amount)
            if both_ways:
                sign = b.slice(amount, amount.width - 1, 1)
                back = b.node("shl", size, a, b.node("neg", amount.width, amount))
                result = b.mux(sign, back, result)
            return b.slice(result, 0, width)

        return _vector(Logic(width, [], [v.whole("A", size, signed), v.whole("B")], compute))

    return make


def _value(vector, signed):
    value = at = 0
    for _, part, width in vector:
        value |= part << at
        at += width
    return value - (1 << at) if signed and at and value >> (at - 1) else value


def _shift_by_constant(v, kind, signed, amount):
    """Only wires; those are told from logic so that bits do not seem to need one another."""
    if kind in ("shl", "sshl"):
        amount = -amount
    a = v.of("A")
    size = width_of(a)
    if amount < 0:
        zeros = min(-amount, v.width)
        low = ((None, 0, zeros),) if zeros else ()
        return low + _extended(a, v.width - zeros, signed)
    if not signed:
        return _extended(slice_of(a, amount, v.width), v.width, False)
    if kind == "sshr":
        return _extended(slice_of(a, min(amount, size - 1), size), v.width, True)
    # Bits beyond the greater of the two widths are zeros, and up to there the sign.
    full = _extended(a, v.size("A"), True)
    return _extended(slice_of(full, amount, v.width), v.width, False)


def _extended(vector, width, signed):
    size = width_of(vector)
    if size >= width or not size:
        return slice_of(vector, 0, width) if size else ((None, 0, width),) if width else ()
    if not signed:
        return (*vector, (None, 0, width - size))
    return (_chunk(Logic(width, [(vector, width, True)], [], _same)),)


def _same(b, lanes, _):
    return lanes[0]


def _mux(invert=False):
    def compute(b, lanes, whole):
        result = b.mux(whole[0], lanes[1], lanes[0])
        return b.not_(result) if invert else result

    def make(v):
        lanes = [v.whole("A", v.width), v.whole("B", v.width)]
        return _vector(Logic(v.width, lanes, [v.whole("S")], compute))

    return make


def _words(vector, width):
    return [slice_of(vector, at, width) for at in range(0, width_of(vector), width)]


def _pmux(v):
    """At most one bit of S is set; should there be more, the lowest is taken."""

    def compute(b, lanes, whole):
        result = lanes[0]
        for word, s in zip(reversed(lanes[1:]), reversed(whole), strict=True):
            result = b.mux(s, word, result)
        return result

    width = v.width
    lanes = [(word, width, False) for word in [v.of("A"), *_words(v.of("B"), width)]]
    return _vector(Logic(width, lanes, [(s, 1, False) for s in _words(v.of("S"), 1)], compute))


def _bmux(v):
    width = v.width
    if not v.of("S"):
        return v.of("A")
    lanes = [(word, width, False) for word in _words(v.of("A"), width)]
    return _vector(Logic(width, lanes, [v.whole("S")], lambda b, lanes, w: b.select(lanes, w[0])))


def _demux(v):
    width = width_of(v.of("A"))
    if not v.of("S"):
        return v.of("A")

    def word(k):
        def compute(b, lanes, whole):
            return b.mux(b.eq(whole[0], k), lanes[0], b.const(0, lanes[0].width))

        return _chunk(Logic(width, [v.whole("A")], [v.whole("S")], compute))

    return tuple(word(k) for k in range(v.width // width)) if width else ()


def _bwmux(v):
    def compute(b, lanes, _):
        first, second, s = lanes
        return b.or_(b.and_(first, b.not_(s)), b.and_(second, s))

    return _vector(Logic(v.width, [v.whole(port) for port in "ABS"], [], compute))


def _table(v):
    """$lut: bit A of a constant."""
    table = v.parameters.get("LUT", 0)

    def compute(b, _, whole):
        (index,) = whole
        return b.select([b.const(table >> k, 1) for k in range(1 << index.width)], index)

    return _flag(v, [v.whole("A")], compute)


def _gate_mux(inputs):
    """$_MUX4_ and the like: data from port A on, select S, T, U, V."""
    data = "ABCDEFGHIJKLMNOP"[:inputs]
    select = "STUV"[: inputs.bit_length() - 1]

    def make(v):
        return _flag(
            v,
            [*(v.whole(port) for port in data), *(v.whole(port) for port in select)],
            lambda b, _, w: b.select(w[:inputs], b.concat(w[inputs:])),
        )

    return make


def _alu(v):
    """Adder and subtracter: Y = A + (B, inverted where BI is set) + CI; X and CO tell of it."""
    width = v.width
    whole = [*(v.whole(port, width, v.both_signed) for port in "AB"), v.whole("CI"), v.whole("BI")]

    def parts(b, whole):
        a, second, carry, invert = whole
        second = b.mux(b.slice(invert, 0, 1), b.not_(second), second)
        total = b.node("add", width, b.node("add", width, a, second), b.extend(carry, width, False))
        return a, second, b.xor(a, second), total

    def carries(b, _, whole):
        a, second, x, y = parts(b, whole)
        # A carry comes in where the sum differs from the sum without carries.
        return b.or_(b.and_(a, second), b.and_(x, b.xor(x, y)))

    return {
        "X": _vector(Logic(width, [], whole, lambda b, _, w: parts(b, w)[2])),
        "Y": _vector(Logic(width, [], whole, lambda b, _, w: parts(b, w)[3])),
        "CO": _vector(Logic(width, [], whole, carries)),
    }


def _full_adder(v):
    lanes = [v.whole(port) for port in "ABC"]

    def carry(b, lanes, _):
        first, second, third = lanes
        return b.or_(b.and_(first, second), b.and_(third, b.xor(first, second)))

    def total(b, lanes, _):
        return b.xor(b.xor(lanes[0], lanes[1]), lanes[2])

    return {
        "X": _vector(Logic(v.width, lanes, [], carry)),
        "Y": _vector(Logic(v.width, lanes, [], total)),
    }


def _look_ahead(v):
    """$lcu: carries out of generate and propagate bits."""
    width = width_of(v.of("CO"))

    def compute(b, _, whole):
        propagate, generate, carry = whole
        result = []
        for k in range(width):
            carry = b.or_(b.slice(generate, k, 1), b.and_(b.slice(propagate, k, 1), carry))
            result.append(carry)
        return b.concat(result)

    return {"CO": _vector(Logic(width, [], [v.whole(port) for port in ("P", "G", "CI")], compute))}


def _slice(v):
    return _extended(slice_of(v.of("A"), v.parameters["OFFSET"], v.width), v.width, False)


def _gate(ports, compute):
    return lambda v: _vector(Logic(1, [v.whole(port) for port in ports], [], compute))


def _not_of(f):
    return lambda b, lanes, whole: b.not_(f(b, lanes, whole))


def _and(b, lanes, _):
    return b.and_(lanes[0], lanes[1])


def _or(b, lanes, _):
    return b.or_(lanes[0], lanes[1])


def _xor(b, lanes, _):
    return b.xor(lanes[0], lanes[1])


def _not(b, lanes, _):
    return b.not_(lanes[0])


def _and_or(b, lanes, _):
    return b.or_(b.and_(lanes[0], lanes[1]), b.and_(*lanes[2:]) if len(lanes) == 4 else lanes[2])


def _or_and(b, lanes, _):
    return b.and_(b.or_(lanes[0], lanes[1]), b.or_(*lanes[2:]) if len(lanes) == 4 else lanes[2])


_CELLS = {
    "$not": _bitwise(_not, "A"),
    "$pos": lambda v: _extended(v.of("A"), v.width, v.signed),
    "$buf": lambda v: _extended(v.of("A"), v.width, v.signed),
    "$neg": _sum("neg", 1, "A"),
    "$and": _bitwise(_and),
    "$or": _bitwise(_or),
    "$xor": _bitwise(_xor),
    "$xnor": _bitwise(_not_of(_xor)),
    "$reduce_and": _reduce("reduce_and"),
    "$reduce_or": _reduce("reduce_or"),
    "$reduce_bool": _reduce("reduce_or"),
    "$reduce_xor": _reduce("reduce_xor"),
    "$reduce_xnor": _reduce("reduce_xor", invert=True),
    "$logic_not": _reduce("reduce_or", invert=True),
    "$logic_and": _logic("and_"),
    "$logic_or": _logic("or_"),
    "$shl": _shift("shl"),
    "$sshl": _shift("sshl"),
    "$shr": _shift("shr"),
    "$sshr": _shift("sshr"),
    "$shift": _shift("shift"),
    "$shiftx": _shift("shiftx"),
    "$lt": _compare("lt"),
    "$le": _compare("le"),
    "$eq": _compare("eq"),
    "$ne": _compare("ne"),
    "$eqx": _compare("eq"),
    "$nex": _compare("ne"),
    "$ge": _compare("le", swapped=True),
    "$gt": _compare("lt", swapped=True),
    "$add": _sum("add", 0, "AB"),
    "$sub": _sum("sub", 1, "AB"),
    "$mul": _multiply,
    "$div": _divide("div", "trunc"),
    "$mod": _divide("mod", "trunc"),
    "$divfloor": _divide("div", "floor"),
    "$modfloor": _divide("mod", "floor"),
    "$pow": _power,
    "$mux": _mux(),
    "$pmux": _pmux,
    "$bmux": _bmux,
    "$demux": _demux,
    "$bwmux": _bwmux,
    "$slice": _slice,
    "$concat": lambda v: v.of("A") + v.of("B"),
    "$lut": _table,
    "$alu": _alu,
    "$fa": _full_adder,
    "$lcu": _look_ahead,
    "$_BUF_": lambda v: v.of("A"),
    "$_NOT_": _gate("A", _not),
    "$_AND_": _gate("AB", _and),
    "$_NAND_": _gate("AB", _not_of(_and)),
    "$_OR_": _gate("AB", _or),
    "$_NOR_": _gate("AB", _not_of(_or)),
    "$_XOR_": _gate("AB", _xor),
    "$_XNOR_": _gate("AB", _not_of(_xor)),
    "$_ANDNOT_": _gate("AB", lambda b, lanes, _: b.and_(lanes[0], b.not_(lanes[1]))),
    "$_ORNOT_": _gate("AB", lambda b, lanes, _: b.or_(lanes[0], b.not_(lanes[1]))),
    "$_MUX_": _mux(),
    "$_NMUX_": _mux(invert=True),
    "$_MUX4_": _gate_mux(4),
    "$_MUX8_": _gate_mux(8),
    "$_MUX16_": _gate_mux(16),
    "$_AOI3_": _gate("ABC", _not_of(_and_or)),
    "$_OAI3_": _gate("ABC", _not_of(_or_and)),
    "$_AOI4_": _gate("ABCD", _not_of(_and_or)),
    "$_OAI4_": _gate("ABCD", _not_of(_or_and)),
}


@dataclass(eq=False, slots=True)
class Flop:
    """A register with a clock edge.

    ``enable``, ``sync_reset`` and ``async_reset`` are None or a vector of one bit and the level at
    which it acts. ``reset_value`` is what either reset sets. Where ``enable_first`` is set, the
    synchronous reset needs the enable.
    """

    clock: tuple
    rising: bool
    data: tuple
    output: tuple
    enable: tuple | None = None
    sync_reset: tuple | None = None
    async_reset: tuple | None = None
    reset_value: int = 0
    enable_first: bool = False
    width: int = field(init=False)

    def __post_init__(self):
        self.width = width_of(self.output)


_FINE = re.compile(
    r"""\$_(?P<kind>S?DFFC?E?)_(?P<clock>[PN])
        (?:(?P<reset>[PN])(?P<value>[01])(?P<enable>[PN])?|(?P<only_enable>[PN]))?_""",
    re.X,
)
_COARSE = ("$dff", "$dffe", "$adff", "$adffe", "$sdff", "$sdffe", "$sdffce")


def flop_of(cell):
    """The register that a cell is, or None."""
    ports = cell.ports
    if cell.type in _COARSE:
        given = cell.parameters
        flop = Flop(
            ports.get("CLK", ()), bool(given.get("CLK_POLARITY", 1)), ports["D"], ports["Q"]
        )
        if "EN" in ports:
            flop.enable = ports["EN"], given.get("EN_POLARITY", 1)
        if "SRST" in ports:
            flop.sync_reset = ports["SRST"], given.get("SRST_POLARITY", 1)
            flop.reset_value = given.get("SRST_VALUE", 0)
        if "ARST" in ports:
            flop.async_reset = ports["ARST"], given.get("ARST_POLARITY", 1)
            flop.reset_value = given.get("ARST_VALUE", 0)
        flop.enable_first = cell.type == "$sdffce"
        return flop
    m = _FINE.fullmatch(cell.type)
    if m is None:
        return None
    flop = Flop(ports.get("C", ()), m["clock"] == "P", ports["D"], ports["Q"])
    enable = m["enable"] or m["only_enable"]
    if enable:
        flop.enable = ports["E"], int(enable == "P")
    if m["reset"]:
        reset = ports["R"], int(m["reset"] == "P")
        flop.reset_value = int(m["value"])
        if m["kind"].startswith("S"):
            flop.sync_reset = reset
        else:
            flop.async_reset = reset
    flop.enable_first = m["kind"] == "SDFFCE"
    return flop
