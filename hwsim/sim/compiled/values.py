"""What is known of a value without running the design.

Of constants the value itself, of all else how many bits hold it.
"""

__all__ = ["COMMUTATIVE", "evaluate", "measure", "signed_value", "storage"]

COMMUTATIVE = frozenset(("and", "or", "xor", "add", "mul"))
_STORAGE = tuple(next(k for k in (1, 8, 16, 32, 64) if w <= k) for w in range(65))


def storage(width):
    """Bits of the machine word, or words of 64 bits, that hold ``width`` bits."""
    return _STORAGE[width] if width <= 64 else -(-width // 64) * 64


def signed_value(value, width):
    """A bit vector read as two's complement."""
    return value - (1 << width) if value >> (width - 1) else value


def _trunc(a, b):
    """Quotient rounded to 0."""
    return -(-a // b) if (a < 0) != (b < 0) else a // b


def evaluate(op, width, values, widths, attr=None):
    """Value of an operation on constants.

    Parameters
    ----------
    op, width, attr
        As of a node without state.
    values, widths : sequence of int
        Of the operands.
    """
    mask = (1 << width) - 1
    a = values[0]
    b = values[1] if len(values) > 1 else 0
    match op:
        case "slice":
            return a >> attr & mask
        case "concat":
            result = offset = 0
            for value, part in zip(values, widths, strict=True):
                result |= value << offset
                offset += part
            return result
        case "zext":
            return a
        case "sext":
            return signed_value(a, widths[0]) & mask
        case "not":
            return ~a & mask
        case "neg":
            return -a & mask
        case "and":
            return a & b
        case "or":
            return a | b
        case "xor":
            return a ^ b
        case "add":
            return a + b & mask
        case "sub":
            return a - b & mask
        case "mul":
            return a * b & mask
        case "shl":
            return a << b & mask if b < width else 0
        case "shr":
            return a >> b if b < width else 0
        case "sshr":
            return signed_value(a, width) >> min(b, width) & mask
        case "eq":
            return int(a == b)
        case "ne":
            return int(a != b)
        case "ult":
            return int(a < b)
        case "ule":
            return int(a <= b)
        case "slt":
            return int(signed_value(a, widths[0]) < signed_value(b, widths[0]))
        case "sle":
            return int(signed_value(a, widths[0]) <= signed_value(b, widths[0]))
        case "reduce_and":
            return int(a == (1 << widths[0]) - 1)
        case "reduce_or":
            return int(a != 0)
        case "reduce_xor":
            return a.bit_count() & 1
        case "mux":
            return b if a else values[2]
    if b == 0:
        return 0
    if op[0] == "s":
        a, b = signed_value(a, width), signed_value(b, width)
    match op:
        case "div_floor" | "sdiv_floor":
            return a // b & mask
        case "mod_floor" | "smod_floor":
            return a % b & mask
        case "sdiv_trunc":
            return _trunc(a, b) & mask
        case "smod_trunc":
            return a - b * _trunc(a, b) & mask
    raise ValueError(f"op must be an operation on constants, not {op!r}")


def _bits(value, width):
    """Bounds of a constant."""
    rest = value ^ ((1 << width) - 1) if value >> (width - 1) else value
    return value.bit_length(), rest.bit_length() + 1


def measure(op, width, args, attr, bounds):
    """How many bits hold a value of an operation: unsigned, and as two's complement.

    The bits above are 0, or copies of the highest. What is not known has ``width`` bits.

    Parameters
    ----------
    op, width, args, attr
        As of a node.
    bounds : mapping of Node to (int, int)
        Of the operands, and of the sources of a port.
    """
    if width == 1 and op != "const":
        return 1, 1
    match op:
        case "const":
            return _bits(attr, width)
        case "mux":
            (ua, sa), (ub, sb) = bounds[args[1]], bounds[args[2]]
            return (ua if ua > ub else ub), (sa if sa > sb else sb)
        case "slice":
            u, s = bounds[args[0]]
            u, s = max(0, u - attr), max(1, s - attr)
        case "concat":
            offset, u, s = 0, 0, 1
            for part in args:
                up, sp = bounds[part]
                if up:
                    u = offset + up
                s = offset + sp
                offset += part.width
        case "zext":
            u, s = bounds[args[0]][0], width
        case "sext":
            u, s = width, bounds[args[0]][1]
        case "not":
            u, s = width, bounds[args[0]][1]
        case "neg":
            u, s = width, bounds[args[0]][1] + 1
        case "and":
            (ua, sa), (ub, sb) = bounds[args[0]], bounds[args[1]]
            u, s = min(ua, ub), max(sa, sb)
        case "or" | "xor":
            (ua, sa), (ub, sb) = bounds[args[0]], bounds[args[1]]
            u, s = max(ua, ub), max(sa, sb)
        case "add":
            (ua, sa), (ub, sb) = bounds[args[0]], bounds[args[1]]
            u, s = max(ua, ub) + 1, max(sa, sb) + 1
        case "sub":
            u, s = width, max(bounds[args[0]][1], bounds[args[1]][1]) + 1
        case "mul":
            (ua, sa), (ub, sb) = bounds[args[0]], bounds[args[1]]
            u, s = ua + ub, sa + sb
            # Below ua bits and never negative: the product needs no bit for that sign.
            if ua < width:
                s = min(s, ua + sb)
            if ub < width:
                s = min(s, sa + ub)
        case "shl":
            (u, s), amount = bounds[args[0]], bounds[args[1]][0]
            # A shift by many bits is as good as one by the whole width.
            most = (1 << amount) - 1 if amount < 16 else width
            u, s = u + most, s + most
        case "shr":
            u, s = bounds[args[0]][0], width
        case "sshr":
            u, s = bounds[args[0]]
        case "div_floor":
            u, s = bounds[args[0]][0], width
        case "mod_floor":
            u, s = min(bounds[args[0]][0], bounds[args[1]][0]), width
        case "sdiv_floor" | "sdiv_trunc":
            u, s = width, bounds[args[0]][1] + 1
        case "smod_floor":
            u, s = width, bounds[args[1]][1]
        case "smod_trunc":
            u, s = width, bounds[args[0]][1]
        case "port":
            u, s = 0, 1
            for source in dict.fromkeys(source for source, _ in attr.sources):
                us, ss = bounds[source]
                u, s = max(u, us), max(s, ss)
        case _:
            return width, width
    if u < width:
        return u, min(s, u + 1)
    return width, min(s, width)
