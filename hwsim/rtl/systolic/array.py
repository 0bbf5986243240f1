"""Weight-stationary and output-stationary systolic arrays.

Both are a grid of equal processing elements. Activations enter at the left, row ``r`` of them ``r``
cycles after row 0; weights enter at the top, column ``c`` of them ``c`` cycles after column 0; what
they meet at element ``(r, c)`` is delayed by ``r + c`` cycles. Skew and de-skew are inside: a
vector enters, and one leaves, whole.

Packed elements serve two columns each; in what is said about cycles and columns of the grid,
a column is then a pair of them.

Equal parts are one module, elaborated once: elements, rows of them, tiles of rows, delays. See
`hwsim.rtl.once`.
"""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.array import ArrayConfig
from hwsim.rtl.once import Once
from hwsim.rtl.unit import delay, register

__all__ = ["OutputStationaryArray", "WeightStationaryArray"]

TILE = 16  # rows and columns of the largest mesh that is not made of others
GROUP = 16  # values, and cycles, of a delay


class WeightStationaryArray(wiring.Component):
    """``y`` is ``a @ weights``: a vector per cycle, folds back to back.

    ::

             w0     w1          weights, a row per cycle, the last row first
              |      |
        a0 -> E ---> E          activations, and the swap token, to the right
              |      |
        a1 -> E ---> E          weights and partial sums down
              |      |
             y0     y1

    A vector on `a` in cycle ``t`` gives the result on `y` in cycle ``t + config.latency``. There is
    no stall and no valid bit: whoever uses the array keeps track by that number.

    A set of weights is ``rows`` cycles on `w`, row ``rows - 1`` first and row 0 last, with `swap`
    in the cycle of row 0. Vectors after that cycle meet the new weights, those up to and with it
    the old ones. The rows of the next set may follow at once. So a fold of ``M`` vectors takes
    ``max(M, rows)`` cycles, and no more. What `w` carries in other cycles is ignored.

    How weights find their place, without a second register for them: let `swap` be in cycle
    ``t``. Row ``r`` of the set enters in cycle ``t - r`` and column ``c`` in cycle
    ``t + c - r`` (skew). Weights go down at half speed, two registers per row, and so pass element
    ``(r, c)`` in cycle ``t + c - r + 2 * r = t + r + c``. The swap token goes at full speed, a
    register per row and one per column: it is there in cycle ``t + r + c``, too, and the element
    takes the weight that comes in just then. The first new vector, of cycle ``t + 1``, comes a
    cycle later, when the weight is in use; the vector of cycle ``t`` still met the old one.

    Column 0 of three rows, with a set A2 A1 A0 that ends in cycle 2, and at once the next one, B:
    what passes the element of each row, and in brackets what it takes::

        cycle    0    1    2    3    4    5    6    7
        row 0    A2   A1  [A0]  B2   B1  [B0]  .    .
        row 1    .    .    A2  [A1]  A0   B2  [B1]  B0
        row 2    .    .    .    .   [A2]  A1   A0  [B2]

    Parameters
    ----------
    config : ArrayConfig

    Members
    -------
    a : in, ArrayLayout(activation, rows)
    w : in, ArrayLayout(weight, cols)
    swap : in
    y : out, ArrayLayout(signed(accumulator_bits), cols)
    """

    def __init__(self, config: ArrayConfig):
        _check_dataflow(config, "weight-stationary")
        self._config = config
        super().__init__(_ports(config) | {"swap": In(1)})

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        m.submodules.mesh = mesh = _whole_mesh(WeightStationaryElement, self.config)
        m.d.comb += mesh.swap_i.eq(_token(m, "swap", self.swap, self.config.rows))
        _skew_operands(m, self, mesh)
        m.d.comb += Cat(self.y).eq(_aligned(m, mesh.p_o, self.config))
        return m


class OutputStationaryArray(wiring.Component):
    """``y`` is ``a.T @ w`` over the steps of a fold, folds back to back.

    ::

             w0     w1          weights, and finished sums, down
              |      |
        a0 -> E ---> E          activations, and the tokens first and last, to the right
              |      |
        a1 -> E ---> E
              |      |
             y0     y1

    A step is a cycle with ``a[r]`` for each row and ``w[c]`` for each column: element ``(r, c)``
    adds ``a[r] * w[c]`` to its sum. `first` is high in a fold's first step, `last` in its last one;
    both in a fold of one step. Zeros are steps that change nothing; cycles between two folds are
    ignored, whatever they carry.

    If `last` is in cycle ``t``, the sums of row ``r`` are on `y` in cycle
    ``t + config.latency + rows - 1 - r``: the last row first, a row per cycle. Cycles with `last`
    must be ``rows`` or more apart, so that a fold of ``K`` steps takes ``max(K, rows)`` cycles, and
    no more: the sums leave while those of the next fold grow.

    How they do so without meeting: the sum of element ``(r, c)`` is complete in cycle
    ``t + d + r + c``, with a constant ``d``. It goes down at half speed, two registers per row, and
    so passes row ``s`` in cycle ``t + d + r + c + 2 * (s - r) = t + d + 2 * s + c - r``: a cycle of
    its own for each ``r``. Row ``s`` adds its own sum of a later fold, of cycle ``t'``, in cycle
    ``t' + d + s + c``. The two meet if ``t' - t = s - r``, which is less than ``rows``.

    Parameters
    ----------
    config : ArrayConfig

    Members
    -------
    a : in, ArrayLayout(activation, rows)
    w : in, ArrayLayout(weight, cols)
    first, last : in
    y : out, ArrayLayout(signed(accumulator_bits), cols)
    """

    def __init__(self, config: ArrayConfig):
        _check_dataflow(config, "output-stationary")
        self._config = config
        super().__init__(_ports(config) | {"first": In(1), "last": In(1)})

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        m.submodules.mesh = mesh = _whole_mesh(OutputStationaryElement, self.config)
        for name in ("first", "last"):
            token = _token(m, name, getattr(self, name), self.config.rows)
            m.d.comb += getattr(mesh, f"{name}_i").eq(token)
        _skew_operands(m, self, mesh)
        m.d.comb += Cat(self.y).eq(_aligned(m, mesh.y_o, self.config))
        return m


class WeightStationaryElement(wiring.Component):
    """``p_o`` is ``p_i + a_i * weight``, some cycles later.

    Parameters
    ----------
    config : ArrayConfig

    Members
    -------
    a_i, a_o : activation, to the right
    swap_i, swap_o : to the right; the element takes the weight that comes in
    w_i, w_o : weights, as of `_operand_bits`, down in two cycles
    p_i, p_o : partial sums, down
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(_element_ports(self.right(config) | self.down(config)))

    @staticmethod
    def right(config):
        """Widths of what goes to the right."""
        return {"a": config.activation_bits, "swap": 1}

    @staticmethod
    def down(config):
        """Widths of what goes down."""
        return {
            "w": _operand_bits(config),
            "p": config.columns_per_element * config.accumulator_bits,
        }

    def elaborate(self, platform):
        m = Module()
        config = self._config
        weight = Signal(_operand_bits(config), reset_less=True)
        with m.If(self.swap_i):
            m.d.sync += weight.eq(self.w_i)
        m.d.sync += self.swap_o.eq(self.swap_i)
        m.d.comb += [
            self.a_o.eq(_register(m, "a", self.a_i)),
            self.w_o.eq(_register(m, "w", _register(m, "w_between", self.w_i))),
        ]
        activation = self.a_i
        if config.operand_registers:
            activation, weight = self.a_o, _register(m, "weight_operand", weight)
        sums = [
            before + product
            for before, product in zip(
                _columns(self.p_i, config), _products(m, activation, weight, config), strict=True
            )
        ]
        m.d.comb += self.p_o.eq(_register(m, "p", _joined(sums, config)))
        return m


class OutputStationaryElement(wiring.Component):
    """Sums up ``a_i * w_i``, from `first` to `last`, and passes the sum down after those below it.

    Parameters
    ----------
    config : ArrayConfig

    Members
    -------
    a_i, a_o : activation, to the right
    first_i, first_o, last_i, last_o : to the right, with the activations that they belong to
    w_i, w_o : weights, as of `_operand_bits`, down
    y_i, y_o : finished sums, down in two cycles
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(_element_ports(self.right(config) | self.down(config)))

    @staticmethod
    def right(config):
        """Widths of what goes to the right."""
        return {"a": config.activation_bits, "first": 1, "last": 1}

    @staticmethod
    def down(config):
        """Widths of what goes down."""
        return {
            "w": _operand_bits(config),
            "y": config.columns_per_element * config.accumulator_bits,
        }

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.d.sync += [self.first_o.eq(self.first_i), self.last_o.eq(self.last_i)]
        first, complete = self.first_i, self.last_o
        for k in range(config.product_latency):
            first = delay(m, first, 1, f"first_{k}") if k else self.first_o
            complete = delay(m, complete, 1, f"complete_{k}")
        activation, weight = self.a_i, self.w_i
        if config.operand_registers:
            activation, weight = self.a_o, self.w_o
        total = Signal(len(self.y_o), reset_less=True)
        sums = [
            Mux(first, 0, before) + product
            for before, product in zip(
                _columns(total, config), _products(m, activation, weight, config), strict=True
            )
        ]
        m.d.sync += total.eq(_joined(sums, config))
        between = _register(m, "y_between", self.y_i)
        m.d.comb += [
            self.a_o.eq(_register(m, "a", self.a_i)),
            self.w_o.eq(_register(m, "w", self.w_i)),
            self.y_o.eq(_register(m, "y", Mux(complete, total, between))),
        ]
        return m


class Mesh(wiring.Component):
    """A grid of elements; ports as those of one, a vector with one for each row or column.

    Row 0 and column 0 lie lowest. A large mesh is made of tiles, a tile of rows, a row of elements,
    so that a large array takes little more text than a small one.

    Parameters
    ----------
    element : class
        Of the elements.
    config : ArrayConfig
        Of the elements.
    rows, cols : int
        Of this mesh.
    """

    def __init__(self, *, element, config, rows, cols):
        self._element = element
        self._config = config
        self._rows = rows
        self._cols = cols
        right = {name: rows * bits for name, bits in element.right(config).items()}
        down = {name: cols * bits for name, bits in element.down(config).items()}
        super().__init__(_element_ports(right | down))

    def elaborate(self, platform):
        m = Module()
        if max(self._rows, self._cols) > TILE:
            rows = cols = TILE
        else:
            rows, cols = 1, self._cols if self._rows > 1 else 1
        parts = [
            [
                self._part(min(rows, self._rows - r), min(cols, self._cols - c))
                for c in range(0, self._cols, cols)
            ]
            for r in range(0, self._rows, rows)
        ]
        for r, row in enumerate(parts):
            for c, part in enumerate(row):
                m.submodules[f"part_{r}_{c}"] = part
        for name in self._element.right(self._config):
            self._connect(m, name, parts)
        for name in self._element.down(self._config):
            self._connect(m, name, list(zip(*parts, strict=True)))
        return m

    def _part(self, rows, cols):
        if rows == cols == 1:
            return Once(self._element, config=self._config)
        kind = Row if rows == 1 else Tile
        return Once(kind, element=self._element, config=self._config, rows=rows, cols=cols)

    def _connect(self, m, name, lines):
        """Let a value go through each line of parts, from the first to the last."""
        i, o = f"{name}_i", f"{name}_o"
        for line in lines:
            for part, following in pairwise(line):
                m.d.comb += getattr(following, i).eq(getattr(part, o))
        m.d.comb += [
            Cat(getattr(line[0], i) for line in lines).eq(getattr(self, i)),
            getattr(self, o).eq(Cat(getattr(line[-1], o) for line in lines)),
        ]


class Row(Mesh):
    """A row of elements, or a part of it."""


class Tile(Mesh):
    """Some rows of some elements."""


class Skew(wiring.Component):
    """Shift registers side by side: value ``k`` of ``o`` is that of ``i`` ``cycles[k]`` cycles ago.

    Parameters
    ----------
    width : int
        Bits of a value.
    cycles : tuple of int
    """

    def __init__(self, *, width, cycles):
        self._width = width
        self._cycles = cycles
        super().__init__({"i": In(width * len(cycles)), "o": Out(width * len(cycles))})

    def elaborate(self, platform):
        m = Module()
        last = []
        for k, cycles in enumerate(self._cycles):
            value = self.i.word_select(k, self._width)
            if cycles:
                # All values of the last cycles, the latest one lowest.
                past = Signal(cycles * self._width, name=f"past_{k}", reset_less=True)
                m.d.sync += past.eq(Cat(value, past))
                value = past[-self._width :]
            last.append(value)
        m.d.comb += self.o.eq(Cat(last))
        return m


def _check_dataflow(config, dataflow):
    if config.dataflow != dataflow:
        raise ValueError(f"dataflow must be {dataflow}, not {config.dataflow}")


def _ports(config):
    """Ports of an array for operands and results."""
    activation = Shape(config.activation_bits, config.activation_signed)
    weight = Shape(config.weight_bits, config.weight_signed)
    return {
        "a": In(data.ArrayLayout(activation, config.rows)),
        "w": In(data.ArrayLayout(weight, config.cols)),
        "y": Out(data.ArrayLayout(signed(config.accumulator_bits), config.cols)),
    }


def _element_ports(widths):
    return {
        f"{name}_{side}": flow(bits)
        for name, bits in widths.items()
        for side, flow in (("i", In), ("o", Out))
    }


def _whole_mesh(element, config):
    return Mesh(element=element, config=config, rows=config.rows, cols=config.element_cols)


def _token(m, name, value, rows):
    """A bit for each row, which goes down a row per cycle."""
    below = Signal(rows - 1, name=f"{name}_below")
    tokens = Cat(value, below)
    m.d.sync += below.eq(tokens)
    return tokens


def _skew_operands(m, array, mesh):
    """Connect `a` and `w`."""
    config = array.config
    weights = array.w
    if config.packed:
        weights = [_packed(array.w[c], array.w[c + 1], config) for c in range(0, config.cols, 2)]
    rows, cols = range(config.rows), range(config.element_cols)
    m.d.comb += [
        mesh.a_i.eq(_skewed(m, "a", Cat(array.a), rows, config.activation_bits)),
        mesh.w_i.eq(_skewed(m, "w", Cat(weights), cols, _operand_bits(config))),
    ]


def _aligned(m, values, config):
    """Results of all columns in the cycle of the last."""
    cycles = range(config.element_cols)[::-1]
    return _skewed(m, "y", values, cycles, len(values) // config.element_cols)


def _skewed(m, name, values, cycles, width):
    """``values``, each of ``width`` bits and delayed by its own number of ``cycles``, in one.

    They go in groups, so that the blocks are few and alike.
    """
    groups = [cycles[k : k + GROUP] for k in range(0, len(cycles), GROUP)]
    first = [Signal(width * len(group), name=f"{name}_{k}") for k, group in enumerate(groups)]
    m.d.comb += Cat(first).eq(values)
    last = []
    for k, (value, left) in enumerate(zip(first, groups, strict=True)):
        step = 0
        while any(left):
            part = (GROUP,) * len(left) if min(left) >= GROUP else tuple(left)
            skew = m.submodules[f"{name}_{k}_{step}"] = Once(Skew, width=width, cycles=part)
            m.d.comb += skew.i.eq(value)
            value, left = skew.o, [a - b for a, b in zip(left, part, strict=True)]
            step += 1
        last.append(value)
    return Cat(last)


def _operand_bits(config):
    """Bits in which weights go to an element: one, or two and what `_packed` adds."""
    bits = config.columns_per_element * config.weight_bits
    return bits + (config.packed and config.weight_signed)


def _packed(low, high, config):
    """Two weights, ready for `_products`: the upper one less the borrow of a negative lower one."""
    if config.weight_signed:
        high = (high - low[-1])[: config.weight_bits + 1]
    return Cat(low, high)


def _register(m, name, value):
    """``value``, a cycle later; without a reset, which data do not need."""
    later = Signal(len(value), name=name, reset_less=True)
    m.d.sync += later.eq(value)
    return later


def _columns(sums, config):
    """The sum of each column of an element."""
    bits = config.accumulator_bits
    return [sums.word_select(k, bits).as_signed() for k in range(config.columns_per_element)]


def _joined(sums, config):
    """Sums of an element's columns, each cut to its width, in one."""
    return Cat(total[: config.accumulator_bits] for total in sums)


def _products(m, a, weight, config):
    """Products of an activation with the weight of each column.

    Packed, one multiplication gives both: ``a * (w1 * 2**n + w0)`` is
    ``a * w1 * 2**n + a * w0``, whose lower ``n`` bits are the one product, exact if ``n`` is the
    sum of the operands' widths. Where that is negative, it has borrowed 1 from the other.
    """
    if config.activation_signed:
        a = a.as_signed()
    n = config.activation_bits + config.weight_bits
    if config.packed:
        low, high = weight[: config.weight_bits], weight[config.weight_bits :]
        fill = low[-1] if config.weight_signed else Const(0, 1)
        weight = Cat(low, fill.replicate(config.activation_bits), high)
    product = a * (weight.as_signed() if config.weight_signed else weight)
    for k in range(config.product_registers):
        product = register(m, product, f"product_{k}" if k else "product")
    if not config.packed:
        return [product]
    if not product.shape().signed:
        return [product[:n], product[n:]]
    return [product[:n].as_signed(), product[n : 2 * n].as_signed() + product[n - 1]]
