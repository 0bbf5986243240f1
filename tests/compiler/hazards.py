"""Whether the waits of a program suffice whatever the timing."""

import numpy as np

from hwsim.blocks.systolic.isa import ENGINES, Opcode, Operation


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

    width : codes from the address of a tap on. A pixel of ``POOL`` has one tap, one of ``COMBINE``
    has one row of them.
    """
    pool = i.opcode == Opcode.POOL
    oy, ox = (np.arange(i[name]) for name in (("rows", "columns") if pool else ("height", "width")))
    anywhere = i.opcode == Opcode.COMBINE and i["operation"] == Operation.NORMALIZE
    kx, ky = np.arange(1 if pool else i["taps_x"]), np.arange(i["taps_y"] or 1)
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
    check = _Check(program)
    for number, instruction in enumerate(program.instructions):
        check.add(number, instruction)
    return check.found


class _Check:
    """Goes through a program, instruction by instruction."""

    def __init__(self, program):
        self.config = config = program.config
        self.words = Uses(config.buffer_bytes // config.banks)
        self.ports = {"read": Uses(config.sections), "write": Uses(config.sections)}
        self.memory = Uses(-(-program.memory_bytes // config.axi_bytes))
        self.halves, self.tables = Uses(2), Uses(2)
        # For each instruction of each engine: how many of each engine it follows.
        self.clocks = [[np.zeros(len(ENGINES), int)] for _ in ENGINES]
        self.found = []

    def add(self, number, i):
        """Check an instruction against those before it."""
        self.number, self.instruction = number, i
        engine = i.opcode.engine
        for other, count in enumerate(i.after):
            if count >= len(self.clocks[other]):
                self.report("waits for a later instruction")
                return
        if engine is None:
            for other, clocks in enumerate(self.clocks):
                if i.after[other] != len(clocks) - 1:
                    self.report(f"does not wait for {ENGINES[other]}")
            return
        clocks = [self.clocks[other][count] for other, count in enumerate(i.after)]
        known = np.maximum.reduce([self.clocks[engine][-1], i.after, *clocks])
        self.clocks[engine].append(known)
        (self.transfer, self.convolve, self.combine, self.transfer)[engine](i)

    def report(self, what):
        self.found.append(f"{self.number} {self.instruction.opcode.name} {what}")

    def use(self, uses, writes, where, what):
        """Check and note that the instruction reads or writes something."""
        engine = self.instruction.opcode.engine
        clocks = self.clocks[engine]
        late = uses.check(engine, len(clocks) - 1, clocks[-1], writes, where)
        if late:
            self.report(f"does not wait for {late[0]} {late[1]} at {what}")

    def touched(self, first, last):
        """Words of the buffer in spans of addresses."""
        first, last = first % 2**24, last - first + first % 2**24
        words = _intervals(first // self.config.banks, -(-last // self.config.banks))
        return np.unique(words % (self.config.buffer_bytes // self.config.banks))

    def use_port(self, kind, spans):
        sections = np.unique(self.touched(*spans) // self.config.bank_depth)
        self.use(self.ports[kind], True, sections, f"the {kind} port")

    def use_words(self, kind, spans):
        self.use(self.words, kind == "write", self.touched(*spans), "the buffer")

    def transfer(self, i):
        """An instruction of the read or the write engine."""
        size = i["words"] * self.config.axi_bytes
        assert i["address"] % self.config.axi_bytes == 0
        first = i["address"] // self.config.axi_bytes
        stores = i.opcode == Opcode.WRITE_ACTIVATIONS
        self.use(self.memory, stores, slice(first, first + i["words"]), "memory")
        if i.opcode == Opcode.READ_TABLE:
            self.use(self.tables, True, [i["table"]], "a table")
        if stores or i.opcode == Opcode.READ_ACTIVATIONS:
            assert i["buffer"] % self.config.axi_bytes == 0
            assert i["buffer"] + size <= self.config.buffer_bytes
            spans = np.array([i["buffer"]]), np.array([i["buffer"] + size])
            kind = "read" if stores else "write"
            self.use_port(kind, spans)
            self.use_words(kind, spans)

    def convolve(self, i):
        spans = _tap_spans(i, i["channels"])
        self.use_port("read", spans)
        self.use_words("read", spans)
        self.use(self.halves, True, [i["half"]], "the sums")

    def combine(self, i):
        """An instruction of the vector unit."""
        if i.opcode == Opcode.ACTIVATE:
            self.use(self.halves, False, [i["half"]], "the sums")
        else:
            # A read takes a code from each bank, wanted or not.
            self.use_port("read", _tap_spans(i, self.config.banks))
            if i["operation"] == Operation.NORMALIZE:
                self.use_words("read", _neighbour_spans(i))
                self.use(self.tables, False, [1], "a table")
            else:
                self.use_words("read", _tap_spans(i, i["channels"]))
        if i["lookup"]:
            self.use(self.tables, False, [0], "a table")
        rows = i["to"] + np.arange(i["height"])[:, None] * i["to_y"]
        pixels = (rows + np.arange(i["width"]) * i["to_x"]).reshape(-1)
        spans = pixels, pixels + i["channels"]
        self.use_port("write", spans)
        self.use_words("write", spans)
