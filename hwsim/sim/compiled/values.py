"""What is known of a value without running the design.

Of constants the value itself, of all else between which bounds it lies.
"""

__all__ = [
    "COMMUTATIVE",
    "Bounds",
    "any_of",
    "bits_of",
    "bounds_of_part",
    "bounds_of_words",
    "evaluate",
    "joined",
    "measure",
    "signed_bounds",
    "signed_value",
    "storage",
    "unsigned_bounds",
]

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


# Bounds of a value: the smallest and the largest number that it stands for. Its bits can hold both:
# either unsigned or, if one is negative, as two's complement.
Bounds = tuple[int, int]


def any_of(width) -> Bounds:
    """Bounds of what nothing is known of."""
    return 0, (1 << width) - 1


def fitted(low, high, width) -> Bounds:
    """Bounds of a value that stands for one of these numbers, modulo 2**width."""
    half = 1 << (width - 1)
    if low >= 0:
        if low >= half and high < 2 * half:
            return low - 2 * half, high - 2 * half
        if high < 2 * half:
            return low, high
    elif low >= -half and high < half:
        return low, high
    return any_of(width)


def unsigned_bounds(bounds: Bounds, width) -> Bounds:
    """Smallest and largest value as an unsigned number."""
    low, high = bounds
    if low >= 0:
        return bounds
    return (low + (1 << width), high + (1 << width)) if high < 0 else any_of(width)


def signed_bounds(bounds: Bounds, width) -> Bounds:
    """Smallest and largest value as two's complement."""
    half = 1 << (width - 1)
    return bounds if bounds[1] < half else (-half, half - 1)


def bits_of(bounds: Bounds, width) -> tuple[int, int]:
    """How many bits hold a value unsigned, and as two's complement; at most its width."""
    low, high = bounds
    if low >= 0:
        unsigned = high.bit_length()
        return unsigned, min(width, unsigned + 1)
    return width, max((~low).bit_length(), high.bit_length() if high > 0 else 0) + 1


def joined(a: Bounds, b: Bounds, width) -> Bounds:
    """Bounds of a value that is one of two."""
    return fitted(min(a[0], b[0]), max(a[1], b[1]), width)


def bounds_of_words(words, width) -> Bounds:
    """Bounds of a value that is one of some constants.

    Of both signs: what is unsigned needs all bits then, and nothing is lost by reading it signed.
    """
    numbers = [signed_value(word, width) for word in words]
    return min(numbers), max(numbers)


def bounds_of_part(bounds: Bounds, low, width) -> Bounds:
    """Bounds of a value's bits from ``low`` on."""
    return fitted(bounds[0] >> low, bounds[1] >> low, width)


def _bitwise(a: Bounds, b: Bounds, width) -> Bounds:
    if a[0] >= 0 and b[0] >= 0:
        return fitted(0, (1 << max(a[1], b[1]).bit_length()) - 1, width)
    half = 1 << (max(bits_of(a, width)[1], bits_of(b, width)[1]) - 1)
    return -half, half - 1


def measure(op, width, args, attr, bounds) -> Bounds:
    """Bounds of the value of an operation.

    Parameters
    ----------
    op, width, args, attr
        As of a node; ``args`` of a port are its sources.
    bounds : mapping of Node to Bounds
        Of ``args``.
    """
    if width == 1 and op != "const":
        return 0, 1
    match op:
        case "const":
            number = signed_value(attr, width) if width > 1 else attr
            return number, number
        case "mux":
            return joined(bounds[args[1]], bounds[args[2]], width)
        case "slice":
            return bounds_of_part(bounds[args[0]], attr, width)
        case "concat":
            low = high = offset = 0
            for part in args[:-1]:
                smallest, largest = unsigned_bounds(bounds[part], part.width)
                low += smallest << offset
                high += largest << offset
                offset += part.width
            smallest, largest = bounds[args[-1]]  # the sign, if there is one
            return fitted(low + (smallest << offset), high + (largest << offset), width)
        case "zext":
            return unsigned_bounds(bounds[args[0]], args[0].width)
        case "sext":
            return signed_bounds(bounds[args[0]], args[0].width)
        case "not":
            low, high = bounds[args[0]]
            return fitted(~high, ~low, width)
        case "neg":
            low, high = bounds[args[0]]
            return fitted(-high, -low, width)
        case "and":
            a, b = bounds[args[0]], bounds[args[1]]
            if a[0] < 0 and b[0] < 0:
                return _bitwise(a, b, width)
            return 0, min(largest for smallest, largest in (a, b) if smallest >= 0)
        case "or" | "xor":
            return _bitwise(bounds[args[0]], bounds[args[1]], width)
        case "add":
            a, b = bounds[args[0]], bounds[args[1]]
            return fitted(a[0] + b[0], a[1] + b[1], width)
        case "sub":
            a, b = bounds[args[0]], bounds[args[1]]
            return fitted(a[0] - b[1], a[1] - b[0], width)
        case "mul":
            a, b = bounds[args[0]], bounds[args[1]]
            products = (a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])
            return fitted(min(products), max(products), width)
        case "shl":
            (low, high), amount = bounds[args[0]], _largest(args[1], bounds)
            if amount >= width:
                return any_of(width)
            return fitted(min(low, low << amount), max(high, high << amount), width)
        case "shr":
            low, high = unsigned_bounds(bounds[args[0]], width)
            return fitted(0, high, width)
        case "sshr":
            low, high = signed_bounds(bounds[args[0]], width)
            return min(low, 0), max(high, -1)
        case "div_floor":
            return fitted(0, unsigned_bounds(bounds[args[0]], width)[1], width)
        case "mod_floor":
            a, b = (unsigned_bounds(bounds[arg], width) for arg in args)
            return fitted(0, min(a[1], max(0, b[1] - 1)), width)
        case "sdiv_floor" | "sdiv_trunc":
            low, high = signed_bounds(bounds[args[0]], width)
            most = max(-low, high)
            return fitted(-most, most, width)
        case "smod_floor":
            low, high = signed_bounds(bounds[args[1]], width)
            return min(low + 1, 0), max(high - 1, 0)
        case "smod_trunc":
            low, high = signed_bounds(bounds[args[0]], width)
            return min(low, 0), max(high, 0)
        case "port":
            result = bounds[args[0]]
            for source in args[1:]:
                result = joined(result, bounds[source], width)
            return result
        case _:
            return any_of(width)


def _largest(amount, bounds):
    return unsigned_bounds(bounds[amount], amount.width)[1]
