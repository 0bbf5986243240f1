"""Nodes that are simplified as they are built.

`Builder.node` has the meaning of `Graph.node` but returns the simplest node of equal value that
local rules find: no rule looks further than a few operands, none makes more work than it saves.

Widths matter because a value takes a machine word of 1, 8, 16, 32 or 64 bits (`storage`). The
builder knows for each node between which bounds its value lies (`Builder.bounds`), and computes at
the smallest word that holds the exact result.
"""

from bisect import bisect_right
from itertools import accumulate

from .ir import Graph, Group, Memory, Node, Port, Register
from .values import (
    COMMUTATIVE,
    Bounds,
    bits_of,
    evaluate,
    measure,
    signed_bounds,
    signed_value,
    storage,
    unsigned_bounds,
)

__all__ = ["Builder"]

_SWAPPED = {"eq": "ne", "ne": "eq"}
_NEGATED = {"ult": "ule", "ule": "ult", "slt": "sle", "sle": "slt"}
# A shift by a variable number of words of at least so many bits is made of multiplexers.
_WORD = 4


class Builder:
    """Builds the nodes of a graph.

    Parameters
    ----------
    graph : Graph
        Where the nodes go.

    Members
    -------
    bounds : dict of Node to Bounds
        For each node built here.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.bounds: dict[Node, Bounds] = {}
        self._numbers: dict[Node, int] = {}
        self._ports: dict[tuple, Node] = {}
        self._starts: dict[Node, list[int]] = {}  # first bits of the operands of concats
        self._rules = {
            "slice": lambda width, args, attr: self.slice(args[0], attr, width),
            "concat": lambda width, args, attr: self.concat(args),
            "zext": lambda width, args, attr: self.zext(args[0], width),
            "sext": lambda width, args, attr: self.sext(args[0], width),
            "not": lambda width, args, attr: self.invert(args[0]),
            "mux": lambda width, args, attr: self.mux(*args),
            "neg": self._neg,
            "and": self._and,
            "or": self._or,
            "xor": self._xor,
            "add": self._add,
            "sub": self._sub,
            "mul": self._mul,
            "shl": self._shl,
            "shr": self._shr,
            "sshr": self._sshr,
            "eq": lambda width, args, attr: self._equal("eq", *args),
            "ne": lambda width, args, attr: self._equal("ne", *args),
            "ult": lambda width, args, attr: self._less("ult", *args),
            "ule": lambda width, args, attr: self._less("ule", *args),
            "slt": lambda width, args, attr: self._less("slt", *args),
            "sle": lambda width, args, attr: self._less("sle", *args),
            "reduce_and": self._reduce_and,
            "reduce_or": self._reduce_or,
            "reduce_xor": self._reduce_xor,
        }
        for op in ("div_floor", "mod_floor", "sdiv_floor", "smod_floor", "sdiv_trunc"):
            self._rules[op] = self._division(op)
        self._rules["smod_trunc"] = self._division("smod_trunc")

    def node(self, op, width, args=(), attr=None, group=None):
        """A node of this value; see `Graph.node`. ``group`` is needed only without operands."""
        rule = self._rules.get(op)
        if rule is None:
            return self._make(op, width, tuple(args), attr, group)
        for arg in args:
            if arg.op != "const":
                break
        else:
            values = [arg.attr for arg in args]
            value = evaluate(op, width, values, [arg.width for arg in args], attr)
            return self.const(value, width, args[0].group)
        if op in COMMUTATIVE:
            a, b = args
            if b.op != "const" and (a.op == "const" or self._order(a) > self._order(b)):
                args = (b, a)
        return rule(width, args, attr)

    def const(self, value, width, group):
        """A constant, taken modulo 2**width."""
        return self._make("const", width, (), value & ((1 << width) - 1), group)

    def register(self, register: Register, bounds=None):
        """The value of a register; ``bounds`` if more is known than its width."""
        node = self._make("register", register.width, (), register, register.group)
        if bounds is not None:
            self.bounds[node] = bounds
        return node

    def read(self, memory: Memory, address, bounds=None):
        """A word of a memory, folded if the memory is never written."""
        if address.op == "zext":
            address = address.args[0]
        width, depth, group = memory.width, memory.depth, address.group
        if address.op == "const" and address.attr >= depth:
            return self.const(0, width, group)
        if not memory.writes and memory.inits is None:
            words = memory.init
            if address.op == "const":
                word = words[address.attr] if address.attr < len(words) else 0
                return self.const(word, width, group)
            first = words[0] if words else 0
            if all(word == first for word in words) and (first == 0 or len(words) == depth):
                word = self.const(first, width, group)
                if first == 0 or depth >> address.width:
                    return word
                inside = self.node("ult", 1, (address, self.const(depth, address.width, group)))
                return self.mux(inside, word, self.const(0, width, group))
        node = self._make("read", width, (address,), memory)
        if bounds is not None:
            self.bounds[node] = bounds
        return node

    def port(self, name, width, sources, group: Group, nodes=None):
        """A value from elsewhere; ``sources`` as those of `Port`, built here.

        ``nodes`` are the different ones among them, if that is known.
        """
        if nodes is None:
            nodes = dict.fromkeys([source for source, _ in sources])
        if any([node.op in ("port", "const") for node in nodes]):
            top = self.graph.top
            sources = [
                source.attr.sources[k]
                if source.op == "port"
                else (self.const(source.attr, width, top), 0)
                if source.op == "const"
                else (source, k)
                for source, k in sources
            ]
            nodes = dict.fromkeys([source for source, _ in sources])
        if len(nodes) == 1:
            (node,) = nodes
            if node.op == "const":
                return self.const(node.attr, width, group)
            if node.group is group and all(k == i for i, (_, k) in enumerate(sources)):
                return node
        bits = [self._bits(node) for node in nodes]
        narrow = self._fit(width, max(u for u, _ in bits), max(s for _, s in bits), tuple(nodes))
        if narrow:
            few, signed = narrow
            made = {node: self.slice(node, 0, few) for node in nodes}
            sources = [(made[node], k) for node, k in sources]
            return self._extend(signed, self.port(name, few, sources, group), width)
        key = (group, tuple(sources))
        port = self._ports.get(key)
        if port is None:
            port = self.graph.node("port", width, (), Port(name, sources), group)
            self._ports[key] = port
            self._note(port, measure("port", width, tuple(nodes), None, self.bounds))
        return port

    def _note(self, node, bounds):
        self.bounds[node] = bounds
        self._numbers[node] = len(self._numbers)

    def _order(self, node):
        """Which operand comes first where it does not matter: like structures stay alike."""
        return node.op, self._numbers[node]

    def _make(self, op, width, args, attr=None, group=None):
        node = self.graph.node(op, width, args, attr, group)
        if node not in self.bounds:
            self._note(node, measure(op, width, args, attr, self.bounds))
        low, high = self.bounds[node]
        if low == high and op != "const":
            return self.const(low, width, node.group)
        return node

    def _bits(self, node):
        """How many bits hold a node's value: unsigned, two's complement."""
        return bits_of(self.bounds[node], node.width)

    # Wires

    def slice(self, a, low, width):
        """Bits ``low`` to ``low + width - 1``."""
        while width != a.width:
            op = a.op
            if op == "const":
                return self.const(a.attr >> low, width, a.group)
            if op == "slice":
                low += a.attr
                a = a.args[0]
                continue
            if op == "zext" or op == "sext":
                inner = a.args[0]
                if low + width <= inner.width:
                    a = inner
                    continue
                if op == "zext":
                    if low >= inner.width:
                        return self.const(0, width, a.group)
                    return self.zext(self.slice(inner, low, inner.width - low), width)
                low = min(low, inner.width - 1)
                return self.sext(self.slice(inner, low, inner.width - low), width)
            if op == "concat":
                return self.concat(self._parts(a, low, low + width))
            return self._make("slice", width, (a,), low)
        return a

    def _parts(self, a, low, high):
        """Operands of a concat that make up some of its bits."""
        starts = self._starts.get(a)
        if starts is None:
            starts = self._starts[a] = list(accumulate((part.width for part in a.args), initial=0))
        parts = []
        k = bisect_right(starts, low) - 1
        while starts[k] < high:
            first = max(low, starts[k])
            last = min(high, starts[k + 1])
            parts.append(self.slice(a.args[k], first - starts[k], last - first))
            k += 1
        return parts

    def concat(self, parts):
        """``parts`` side by side, the first in the lowest bits."""
        if len(parts) == 1:
            return parts[0]
        flat: list[Node] = []
        for part in parts:
            if part.op == "zext":
                inner = part.args[0]
                flat += inner.args if inner.op == "concat" else (inner,)
                flat.append(self.const(0, part.width - inner.width, part.group))
            elif part.op == "concat":
                flat += part.args
            else:
                flat.append(part)
        merged = flat[:1]
        for part in flat[1:]:
            last = merged[-1]
            if part.op == "const" and last.op == "const":
                value = last.attr | part.attr << last.width
                merged[-1] = self.const(value, last.width + part.width, part.group)
            elif (
                part.op == "slice"
                and last.op == "slice"
                and part.args[0] is last.args[0]
                and part.attr == last.attr + last.width
            ):
                merged[-1] = self.slice(part.args[0], last.attr, last.width + part.width)
            else:
                merged.append(part)
        if len(merged) == 1:
            return merged[0]
        width = sum(part.width for part in merged)
        top = merged[-1]
        if top.op == "const" and top.attr == 0:
            return self.zext(self.concat(merged[:-1]), width)
        sign = top.args[0] if top.op == "sext" else top
        if sign.width == 1 and sign.op != "const":
            keep = len(merged) - 1
            while keep and self._copies(merged[keep - 1], sign):
                keep -= 1
            if keep == 0:
                return self.sext(sign, width)
            if self.slice(merged[keep - 1], merged[keep - 1].width - 1, 1) is sign:
                return self.sext(self.concat(merged[:keep]), width)
            if keep < len(merged) - 1:
                copies = sum(part.width for part in merged[keep:])
                merged[keep:] = [self.sext(sign, copies)]
        return self._make("concat", width, tuple(merged))

    @staticmethod
    def _copies(part, sign):
        return part is sign or (part.op == "sext" and part.args[0] is sign)

    def zext(self, a, width):
        """``a`` with zeros above."""
        if a.width == width:
            return a
        if a.op == "const":
            return self.const(a.attr, width, a.group)
        if a.op == "zext":
            a = a.args[0]
        return self._make("zext", width, (a,))

    def sext(self, a, width):
        """``a`` with copies of its top bit above."""
        if a.width == width:
            return a
        if a.op == "const":
            return self.const(signed_value(a.attr, a.width), width, a.group)
        if self._bits(a)[0] < a.width:
            return self.zext(a, width)
        if a.op == "sext":
            a = a.args[0]
        return self._make("sext", width, (a,))

    def _extend(self, signed, a, width):
        return self.sext(a, width) if signed else self.zext(a, width)

    # Choice

    def mux(self, s, a, b):
        """``a`` where ``s`` is 1, else ``b``."""
        if s.op == "const":
            return a if s.attr else b
        if s.op in ("not", "ne", "ule", "sle"):
            s, a, b = self.invert(s), b, a
        if a.op == "mux" and a.args[0] is s:
            a = a.args[1]
        if b.op == "mux" and b.args[0] is s:
            b = b.args[2]
        if a is b:
            return a
        width = a.width
        if width == 1:
            if a is s or (a.op == "const" and a.attr):
                return self.node("or", 1, (s, b))
            if b is s or (b.op == "const" and b.attr == 0):
                return self.node("and", 1, (s, a))
            if a.op == "const":
                return self.node("and", 1, (self.invert(s), b))
            if b.op == "const":
                return self.node("or", 1, (self.invert(s), a))
            if self._opposite(a, b):
                return self.node("xor", 1, (s, b))
        # One multiplexer instead of two that share an operand: the selects are cheap.
        if a.op == "mux":
            t, x, y = a.args
            if y is b:
                return self.mux(self.node("and", 1, (s, t)), x, b)
            if x is b:
                return self.mux(self.node("and", 1, (s, self.invert(t))), y, b)
        if b.op == "mux":
            t, x, y = b.args
            if x is a:
                return self.mux(self.node("or", 1, (s, t)), a, y)
            if y is a:
                return self.mux(self.node("or", 1, (s, self.invert(t))), a, x)
        narrow = self._narrower(width, (a, b))
        if narrow:
            bits, signed = narrow
            arms = (self.slice(a, 0, bits), self.slice(b, 0, bits))
            return self._extend(signed, self.mux(s, *arms), width)
        return self._make("mux", width, (s, a, b))

    def _narrower(self, width, args):
        """At how many bits to do what keeps extensions, and whether these repeat the sign."""
        unsigned = signed = 0
        for arg in args:
            u, s = self._bits(arg)
            unsigned, signed = max(unsigned, u), max(signed, s)
        return self._fit(width, unsigned, signed, args)

    def _fit(self, width, unsigned, signed, args):
        """The same where ``unsigned`` or ``signed`` bits hold the result."""
        bits = min(unsigned, signed)
        if bits >= width:
            return None
        free = all(_is_free(arg, bits) for arg in args)
        if not free or all(arg.op == "const" for arg in args):
            bits = storage(bits)
            if bits >= storage(width):
                return None
        return bits, unsigned > bits

    # Bits

    def invert(self, a):
        """Every bit inverted."""
        if a.op == "const":
            return self.const(~a.attr, a.width, a.group)
        if a.op == "not":
            return a.args[0]
        if a.op in _SWAPPED:
            return self._make(_SWAPPED[a.op], 1, a.args)
        if a.op in _NEGATED:
            return self._make(_NEGATED[a.op], 1, a.args[::-1])
        return self._make("not", a.width, (a,))

    def _opposite(self, a, b):
        """Whether ``a`` is the inverse of ``b``, as far as is seen without building it."""
        if a.op == "not" or b.op == "not":
            return (a.op == "not" and a.args[0] is b) or (b.op == "not" and b.args[0] is a)
        if a.op in _SWAPPED:
            return b.op == _SWAPPED[a.op] and a.args == b.args
        return a.op in _NEGATED and b.op == _NEGATED[a.op] and a.args == b.args[::-1]

    def _and(self, width, args, attr):
        a, b = args
        if a is b:
            return a
        if b.op == "const":
            mask = b.attr
            if mask == 0:
                return b
            if mask == (1 << width) - 1:
                return a
            if a.op == "and" and a.args[1].op == "const":
                return self.node(
                    "and", width, (a.args[0], self.const(a.args[1].attr & mask, width, a.group))
                )
            if mask & (mask + 1) == 0:
                return self.zext(self.slice(a, 0, mask.bit_length()), width)
        if self._opposite(a, b):
            return self.const(0, width, a.group)
        for x, y in ((a, b), (b, a)):
            if x.op == "and":
                if y in x.args:
                    return x
                if self._opposite(x.args[0], y) or self._opposite(x.args[1], y):
                    return self.const(0, width, a.group)
            elif x.op == "or":
                if y in x.args:
                    return y
                for k in (0, 1):
                    if self._opposite(x.args[k], y):
                        return self.node("and", width, (x.args[1 - k], y))
        bits = storage(max(1, min(self._bits(a)[0], self._bits(b)[0])))
        if bits < storage(width):
            args = (self.slice(a, 0, bits), self.slice(b, 0, bits))
            return self.zext(self.node("and", bits, args), width)
        return self._bitwise("and", width, (a, b))

    def _or(self, width, args, attr):
        a, b = args
        if a is b:
            return a
        if b.op == "const":
            if b.attr == 0:
                return a
            if b.attr == (1 << width) - 1:
                return b
            if a.op == "or" and a.args[1].op == "const":
                return self.node(
                    "or", width, (a.args[0], self.const(a.args[1].attr | b.attr, width, a.group))
                )
        if self._opposite(a, b):
            return self.const(-1, width, a.group)
        for x, y in ((a, b), (b, a)):
            if x.op == "or":
                if y in x.args:
                    return x
                if self._opposite(x.args[0], y) or self._opposite(x.args[1], y):
                    return self.const(-1, width, a.group)
            elif x.op == "and":
                if y in x.args:
                    return y
                for k in (0, 1):
                    if self._opposite(x.args[k], y):
                        return self.node("or", width, (x.args[1 - k], y))
        return self._bitwise("or", width, (a, b))

    def _xor(self, width, args, attr):
        a, b = args
        if a is b:
            return self.const(0, width, a.group)
        if b.op == "const":
            if b.attr == 0:
                return a
            if b.attr == (1 << width) - 1:
                return self.invert(a)
            if a.op == "xor" and a.args[1].op == "const":
                return self.node(
                    "xor", width, (a.args[0], self.const(a.args[1].attr ^ b.attr, width, a.group))
                )
        if self._opposite(a, b):
            return self.const(-1, width, a.group)
        if a.op == "not" and b.op == "not":
            return self.node("xor", width, (a.args[0], b.args[0]))
        for x, y in ((a, b), (b, a)):
            if x.op == "xor" and y in x.args:
                return x.args[1] if x.args[0] is y else x.args[0]
        return self._bitwise("xor", width, (a, b))

    def _bitwise(self, op, width, args):
        narrow = self._narrower(width, args)
        if narrow:
            bits, signed = narrow
            inner = self.node(op, bits, [self.slice(arg, 0, bits) for arg in args])
            return self._extend(signed, inner, width)
        return self._make(op, width, args)

    def _reduce_and(self, width, args, attr):
        (a,) = args
        return self._equal("eq", a, self.const(-1, a.width, a.group))

    def _reduce_or(self, width, args, attr):
        (a,) = args
        return self._equal("ne", a, self.const(0, a.width, a.group))

    def _reduce_xor(self, width, args, attr):
        (a,) = args
        if a.op == "zext":
            a = a.args[0]
        if a.width == 1:
            return a
        if a.op == "concat":
            result = self.const(0, 1, a.group)
            for part in a.args:
                result = self.node("xor", 1, (result, self.node("reduce_xor", 1, (part,))))
            return result
        return self._make("reduce_xor", 1, (a,))

    # Arithmetic

    def _arithmetic(self, op, width, args):
        """At the smallest word that holds the exact result."""
        unsigned, signed = bits_of(measure(op, width, args, None, self.bounds), width)
        bits = storage(max(1, min(unsigned, signed)))
        if bits < storage(width):
            args = (
                self.slice(args[0], 0, bits),
                *(arg if op == "shl" else self.slice(arg, 0, bits) for arg in args[1:]),
            )
            return self._extend(unsigned > bits, self.node(op, bits, args), width)
        return self._make(op, width, tuple(args))

    def _neg(self, width, args, attr):
        (a,) = args
        if width == 1:
            return a
        if a.op == "neg":
            return a.args[0]
        if a.op == "sub":
            return self.node("sub", width, a.args[::-1])
        return self._arithmetic("neg", width, (a,))

    def _add(self, width, args, attr):
        a, b = args
        if width == 1:
            return self.node("xor", 1, (a, b))
        if b.op == "const":
            if b.attr == 0:
                return a
            if a.op == "add" and a.args[1].op == "const":
                total = self.const(a.args[1].attr + b.attr, width, a.group)
                return self.node("add", width, (a.args[0], total))
        for x, y in ((a, b), (b, a)):
            if y.op == "neg":
                return self.node("sub", width, (x, y.args[0]))
        return self._arithmetic("add", width, (a, b))

    def _sub(self, width, args, attr):
        a, b = args
        if width == 1:
            return self.node("xor", 1, (a, b))
        if a is b:
            return self.const(0, width, a.group)
        if b.op == "const":
            return self.node("add", width, (a, self.const(-b.attr, width, a.group)))
        if a.op == "const" and a.attr == 0:
            return self.node("neg", width, (b,))
        if b.op == "neg":
            return self.node("add", width, (a, b.args[0]))
        return self._arithmetic("sub", width, (a, b))

    def _mul(self, width, args, attr):
        a, b = args
        if width == 1:
            return self.node("and", 1, (a, b))
        if b.op == "const":
            factor = b.attr
            if factor == 0:
                return b
            if factor & (factor - 1) == 0:
                return self._shift_left(a, factor.bit_length() - 1)
            if factor == (1 << width) - 1:
                return self.node("neg", width, (a,))
        return self._arithmetic("mul", width, (a, b))

    def _division(self, op):
        remainder = "mod" in op

        def rule(width, args, attr):
            a, b = args
            if a.op == "const" and a.attr == 0:
                return a
            if b.op == "const":
                if b.attr == 0:
                    return b
                power = b.attr.bit_length() - 1
                if b.attr == 1 << power and (op[0] != "s" or power < width - 1):
                    if power == 0:
                        return self.const(0, width, a.group) if remainder else a
                    if op in ("mod_floor", "smod_floor"):
                        return self.zext(self.slice(a, 0, power), width)
                    if op in ("div_floor", "sdiv_floor"):
                        high = self.slice(a, power, width - power)
                        return self._extend(op[0] == "s", high, width)
            # The operands have to fit, and the smallest number by -1 needs one bit more.
            (ua, sa), (ub, sb) = self._bits(a), self._bits(b)
            signed = op[0] == "s"
            bits = storage(max(1, sa + 1, sb + 1) if signed else max(1, ua, ub))
            if bits < storage(width):
                inner = self.node(op, bits, [self.slice(arg, 0, bits) for arg in args])
                return self._extend(signed, inner, width)
            return self._make(op, width, tuple(args))

        return rule

    # Shifts

    def _shift_left(self, a, count):
        if count == 0:
            return a
        if count >= a.width:
            return self.const(0, a.width, a.group)
        return self.concat((self.const(0, count, a.group), self.slice(a, 0, a.width - count)))

    def _shift_right(self, a, count, signed=False):
        if count >= a.width:
            if not signed:
                return self.const(0, a.width, a.group)
            count = a.width - 1
        if count == 0:
            return a
        return self._extend(signed, self.slice(a, count, a.width - count), a.width)

    def _words(self, amount):
        """An amount as (index, step), their product; None if it is not seen to be one."""
        if amount.op == "concat" and amount.args[0].op == "const" and amount.args[0].attr == 0:
            return self.concat(amount.args[1:]), 1 << amount.args[0].width
        if amount.op == "mul" and amount.args[1].op == "const":
            index, step = amount.args[0], amount.args[1].attr
            if self._range(index, signed=False)[1] * step < 1 << amount.width:
                return index, step
        return None

    def _by_words(self, a, index, step, shift):
        """A shift by ``index * step`` as multiplexers.

        Each chooses between a value and the same at another place, so that parts which nobody
        needs need not be built.
        """
        if index.op == "zext":
            index = index.args[0]
        useful = 0
        while useful < index.width and step << useful < a.width:
            useful += 1
        if useful < index.width:
            beyond = self.slice(index, useful, index.width - useful)
            beyond = self.node("reduce_or", 1, (beyond,))
            a = self.mux(beyond, shift(a, a.width), a)
        for k in reversed(range(useful)):
            a = self.mux(self.slice(index, k, 1), shift(a, step << k), a)
        return a

    def _shift(self, op, a, amount):
        """A shift by a constant, by words or of zeros; None if it is none of these."""
        shift = {
            "shl": self._shift_left,
            "shr": self._shift_right,
            "sshr": lambda a, count: self._shift_right(a, count, signed=True),
        }[op]
        if amount.op == "const":
            return shift(a, amount.attr)
        if a.op == "const" and a.attr == 0:
            return a
        words = self._words(amount)
        if words and words[1] >= _WORD and a.width > 8:
            index, step = words
            return self._by_words(a, index, step, shift)
        if a.width > 64 and amount.width > 6:
            # By machine words, and by less than one: that part may be narrow.
            few = self.slice(amount, 0, 6)
            many = self.slice(amount, 6, amount.width - 6)
            if op == "shl":
                return self._by_words(self.node(op, a.width, (a, few)), many, 64, shift)
            return self.node(op, a.width, (self._by_words(a, many, 64, shift), few))
        return None

    def _shl(self, width, args, attr):
        a, amount = args
        if amount.op == "zext":
            amount = amount.args[0]
        simple = self._shift("shl", a, amount)
        if simple:
            return simple
        return self._arithmetic("shl", width, (a, amount))

    def _shr(self, width, args, attr):
        a, amount = args
        if amount.op == "zext":
            amount = amount.args[0]
        simple = self._shift("shr", a, amount)
        if simple:
            return simple
        bits = storage(max(1, self._bits(a)[0]))
        if bits < storage(width):
            return self.zext(self.node("shr", bits, (self.slice(a, 0, bits), amount)), width)
        return self._make("shr", width, (a, amount))

    def _sshr(self, width, args, attr):
        a, amount = args
        if amount.op == "zext":
            amount = amount.args[0]
        unsigned, signed = self._bits(a)
        if unsigned < width:
            return self.node("shr", width, (a, amount))
        simple = self._shift("sshr", a, amount)
        if simple:
            return simple
        bits = storage(signed)
        if bits < storage(width):
            return self.sext(self.node("sshr", bits, (self.slice(a, 0, bits), amount)), width)
        return self._make("sshr", width, (a, amount))

    # Comparisons

    def _equal(self, op, a, b):
        """``eq`` or ``ne``."""
        result = self._equality(a, b)
        if isinstance(result, tuple):
            return self._make(op, 1, result)
        if isinstance(result, list):
            parts = [self._equal(op, *pair) for pair in result]
            result = parts[0]
            for part in parts[1:]:
                result = self.node("and" if op == "eq" else "or", 1, (result, part))
            return result
        return result if op == "eq" else self.invert(result)

    def _equality(self, a, b):
        """The value of ``a == b``, the two operands that are left to compare, or a list of such."""
        while True:
            if a is b:
                return self.const(1, 1, a.group)
            if a.op == "const":
                if b.op == "const":
                    return self.const(a.attr == b.attr, 1, a.group)
                a, b = b, a
            width, group = a.width, a.group
            for signed in (False, True):
                (low_a, high_a), (low_b, high_b) = self._range(a, signed), self._range(b, signed)
                if high_a < low_b or high_b < low_a:
                    return self.const(0, 1, group)
            if b.op == "const":
                value = b.attr
                if width == 1:
                    return a if value else self.invert(a)
                if a.op == "not":
                    a, b = a.args[0], self.const(~value, width, group)
                    continue
                if a.op == "neg":
                    a, b = a.args[0], self.const(-value, width, group)
                    continue
                if a.op in ("add", "xor") and a.args[1].op == "const":
                    other = a.args[1].attr
                    value = value - other if a.op == "add" else value ^ other
                    a, b = a.args[0], self.const(value, width, group)
                    continue
                if a.op == "sub" and value == 0:
                    a, b = a.args
                    continue
                if a.op == "mux":
                    s, x, y = a.args
                    if x.op == "const" and y.op == "const":
                        if value == x.attr:
                            return s
                        return self.invert(s) if value == y.attr else self.const(0, 1, group)
                if a.op == "concat":
                    starts = accumulate((part.width for part in a.args), initial=0)
                    return [
                        (part, self.const(value >> low, part.width, group))
                        for part, low in zip(a.args, starts, strict=False)
                    ]
            elif width == 1:
                return self.invert(self.node("xor", 1, (a, b)))
            elif self._opposite(a, b):
                return self.const(0, 1, group)
            narrow = self._narrower(width, (a, b))
            if narrow is None:
                break
            bits, _ = narrow
            a, b = self.slice(a, 0, bits), self.slice(b, 0, bits)
        if b.op != "const" and self._order(a) > self._order(b):
            a, b = b, a
        return a, b

    def _less(self, op, a, b):
        """``ult``, ``ule``, ``slt`` or ``sle``."""
        width, group = a.width, a.group
        signed, strict = op[0] == "s", op[2] == "t"
        if a is b:
            return self.const(not strict, 1, group)
        if a.op == "const" and b.op == "const":
            return self.const(evaluate(op, 1, (a.attr, b.attr), (width, width)), 1, group)
        if width == 1:
            # As two's complement, 1 is less than 0.
            x, y = (b, a) if signed else (a, b)
            return self.node("and" if strict else "or", 1, (self.invert(x), y))
        if signed and max(self._bits(a)[0], self._bits(b)[0]) < width:
            signed = False
        (low_a, high_a), (low_b, high_b) = self._range(a, signed), self._range(b, signed)
        if high_a < low_b or (not strict and high_a <= low_b):
            return self.const(1, 1, group)
        if low_a > high_b or (strict and low_a >= high_b):
            return self.const(0, 1, group)
        if strict and low_a + 1 == high_b and a.op == "const":
            return self._equal("eq", b, self.const(high_b, width, group))
        if strict and low_a + 1 == high_b and b.op == "const":
            return self._equal("eq", a, self.const(low_a, width, group))
        if strict:
            if a.op == "const" and low_a == low_b:
                return self._equal("ne", b, a)
            if b.op == "const" and high_a == high_b:
                return self._equal("ne", a, b)
        # One form for each comparison with a constant; it cannot overflow: see the ranges above.
        elif b.op == "const":
            return self._less(op[0] + "lt", a, self.const(b.attr + 1, width, group))
        elif a.op == "const":
            return self._less(op[0] + "lt", self.const(a.attr - 1, width, group), b)
        narrow = self._narrower(width, (a, b))
        if narrow:
            bits, _ = narrow
            a, b = self.slice(a, 0, bits), self.slice(b, 0, bits)
        return self._make(("s" if signed else "u") + ("lt" if strict else "le"), 1, (a, b))

    def _range(self, node, signed):
        """Smallest and largest value."""
        read = signed_bounds if signed else unsigned_bounds
        return read(self.bounds[node], node.width)


def _is_free(node, bits):
    """Whether the lowest ``bits`` of a node are there without computing anything."""
    if node.op in ("zext", "sext"):
        return node.args[0].width <= bits
    return node.op == "const"
