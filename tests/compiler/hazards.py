"""Whether the waits of a program suffice whatever the timing."""

import numpy as np

from hwsim.blocks.systolic.isa import ENGINES, Opcode, Operation

READ, MATRIX, VECTOR, WRITE = range(4)
TRANSFERS = (Opcode.READ_ACTIVATIONS, Opcode.WRITE_ACTIVATIONS)


class Uses:
    """The last instruction of each engine that read and wrote each of ``size`` things."""

    def __init__(self, size):
        self._last = np.zeros((2, len(ENGINES), size), np.int32)

    def check(self, engine, number, known, writes, where):
        """Note a use; returns an (engine, instruction) that should have been waited for, or None.

        A write follows all earlier uses by other engines, a read all their writes.
        """
        for kind in (0, 1) if writes else (1,):
            for other in range(len(ENGINES)):
                if other != engine:
                    last = int(self._last[kind, other, where].max(initial=0))
                    if last > known[other]:
                        return ENGINES[other], last
        self._last[int(writes), engine, where] = number
        return None


def _intervals(first, last):
    """Numbers in [first, last) for arrays of bounds, without repetition."""
    if len(first) == 0:
        return np.zeros(0, int)
    order = np.argsort(first, kind="stable")
    first, last = first[order], np.maximum.accumulate(last[order])
    first[1:] = np.maximum(first[1:], last[:-1])
    keep = last > first
    first, last = first[keep], last[keep]
    lengths = last - first
    return np.repeat(last - np.cumsum(lengths), lengths) + np.arange(lengths.sum())


def _tap_spans(i, width):
    """[first, last) addresses of the codes of taps inside the map, for each row of pixels and taps.

    width : codes from the address of a tap on.
    """
    oy, ox = np.arange(i["height"]), np.arange(i["width"])
    anywhere = i.opcode == Opcode.COMBINE and i["operation"] == Operation.NORMALIZE
    kx, ky = np.arange(i["taps_x"]), np.arange(i["taps_y"])
    column = i["x"] + ox[:, None] * i["stride_x"] + kx * i["dilation_x"]
    along = (ox[:, None] * i["pixel_x"] + kx * i["tap_x"] + 2**23) % 2**24 - 2**23
    along = along[(column >= 0) & (column < i["map_width"]) | anywhere]
    row = i["y"] + oy[:, None] * i["stride_y"] + ky * i["dilation_y"]
    down = i["base"] + oy[:, None] * i["pixel_y"] + ky * i["tap_y"]
    down = down[(row >= 0) & (row < i["map_height"])]
    if not len(along) or not len(down):
        return np.zeros(0, int), np.zeros(0, int)
    # What runs on from pixel to pixel is one span.
    along = np.unique(along)
    gaps = np.diff(along) > max(i["pixel_x"], width)
    starts = np.concatenate([along[:1], along[1:][gaps]])
    ends = np.concatenate([along[:-1][gaps], along[-1:]]) + width
    down = np.unique(down % 2**24)
    return (down[:, None] + starts).reshape(-1), (down[:, None] + ends).reshape(-1)


def _neighbour_spans(i):
    """[first, last) addresses of the codes that a NORMALIZE needs of each pixel."""
    rows = i["base"] + np.arange(i["height"])[:, None] * i["pixel_y"] - i["x"]
    first_channel = (rows + np.arange(i["width"]) * i["pixel_x"]).reshape(-1)
    beyond = i["x"] + i["taps_x"] - 1 + i["channels"]
    return first_channel + max(i["x"], 0), first_channel + min(beyond, i["map_width"])


def hazards(program):
    """What could go wrong: a list of texts, empty if nothing can.

    An instruction is known to follow the completions that it waits for, and those that any of these
    instructions, and the one before it in its engine, follow. All uses of one place by two engines
    of which one is a write, and all uses of one port of a section, must be in such an order.
    """
    config = program.config
    words = Uses(config.buffer_bytes // config.banks)
    ports = [Uses(config.sections), Uses(config.sections)]
    memory = Uses(-(-program.memory_bytes // config.axi_bytes))
    halves, tables = Uses(2), Uses(2)
    # What each instruction of each engine follows.
    clocks = [[np.zeros(len(ENGINES), int)] for _ in ENGINES]
    found = []

    def touched_words(first, last):
        """Words of the buffer in spans of addresses."""
        first, last = first % 2**24, last - first + first % 2**24
        touched = _intervals(first // config.banks, -(-last // config.banks))
        return np.unique(touched % (config.buffer_bytes // config.banks))

    def ask_port(first, last, writes, ask):
        """Check the ports by which spans of addresses are used."""
        sections = np.unique(touched_words(first, last) // config.bank_depth)
        ask(ports[writes], True, sections, f"the {'write' if writes else 'read'} port")

    def ask_buffer(first, last, writes, ask):
        """Check ports and words of spans of addresses."""
        ask_port(first, last, writes, ask)
        ask(words, writes, touched_words(first, last), "the buffer")

    for number, i in enumerate(program.instructions):
        engine = i.opcode.engine
        if engine is None:
            missing = [k for k in range(4) if i.after[k] != len(clocks[k]) - 1]
            found += [f"{number} HALT does not wait for {ENGINES[k]}" for k in missing]
            continue
        known = np.maximum(clocks[engine][-1], i.after)
        for other, count in enumerate(i.after):
            if count >= len(clocks[other]):
                found.append(f"{number} {i.opcode.name} waits for a later instruction")
            else:
                known = np.maximum(known, clocks[other][count])
        clocks[engine].append(known)
        mine = len(clocks[engine]) - 1

        def ask(
            uses, writes, where, what, engine=engine, mine=mine, known=known, number=number, i=i
        ):
            late = uses.check(engine, mine, known, writes, where)
            if late:
                found.append(f"{number} {i.opcode.name} does not wait for {late} at {what}")

        if i.opcode in TRANSFERS:
            size = i["words"] * config.axi_bytes
            writes = i.opcode == Opcode.READ_ACTIVATIONS
            assert i["buffer"] % config.axi_bytes == 0
            assert i["buffer"] + size <= config.buffer_bytes
            span = np.array([i["buffer"]]), np.array([i["buffer"] + size])
            ask_buffer(*span, writes, ask)
        if engine in (READ, WRITE):
            assert i["address"] % config.axi_bytes == 0
            first = i["address"] // config.axi_bytes
            ask(memory, engine == WRITE, slice(first, first + i["words"]), "memory")
        if i.opcode == Opcode.READ_TABLE:
            ask(tables, True, [i["table"]], "a table")
        if i.opcode == Opcode.CONVOLVE:
            span = _tap_spans(i, i["channels"])
            ask_buffer(*span, False, ask)
            ask(halves, True, [i["half"]], "the sums")
        if i.opcode == Opcode.COMBINE:
            # A read takes a code from each bank, wanted or not.
            ask_port(*_tap_spans(i, config.banks), False, ask)
            wanted = _tap_spans(i, i["channels"])
            if i["operation"] == Operation.NORMALIZE:
                wanted = _neighbour_spans(i)
                ask(tables, False, [1], "a table")
            ask(words, False, touched_words(*wanted), "the buffer")
        if engine == VECTOR:
            if i.opcode == Opcode.ACTIVATE:
                ask(halves, False, [i["half"]], "the sums")
            if i["lookup"]:
                ask(tables, False, [0], "a table")
            rows = i["to"] + np.arange(i["height"])[:, None] * i["to_y"]
            pixels = (rows + np.arange(i["width"]) * i["to_x"]).reshape(-1)
            span = pixels, pixels + i["channels"]
            ask_buffer(*span, True, ask)
    return found
