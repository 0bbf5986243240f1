"""Random circuits in Verilog, without anything that the language leaves undefined.

No bit is ever unknown after the inputs are set: all state has an initial value, divisors are not 0,
selections stay inside. Every module has the ports ``clk``, ``rst`` and ``en``; ``en`` comes from
the top, and every combinational ``always`` block reads it, since a block whose inputs never change
is never run in some simulators.
"""

import random
from dataclasses import dataclass

from .circuits import Circuit, extreme, width_up_to

__all__ = ["verilog_circuit"]

_REST = 64


@dataclass(frozen=True)
class _Variable:
    name: str
    width: int
    signed: bool = False

    @property
    def range(self):
        sign = "signed " if self.signed else ""
        return f"{sign}[{self.width - 1}:0] " if self.width > 1 or self.signed else ""


def verilog_circuit(seed, expose=False):
    """The random Verilog design of a seed; its modules' names start with ``v<seed>``.

    With ``expose`` every variable of the top is an output, to find the one that is wrong.
    """
    rng = random.Random(f"verilog {seed}")
    sizes = {
        "statements": rng.choice([1, 2, 2, 3, 5]),
        "depth": rng.choice([1, 2, 2, 3]),
        "width": rng.choice([4, 9, 17, 33, 65, 65, 130, 200]),
        "levels": rng.choice([0, 0, 0, 1, 1, 2]),
        "regular": rng.choice([0, 0, 0, 1]),
        "memories": rng.choice([0, 0, 1, 1, 2]),
        "registers": rng.choice([0, 1, 1, 1, 1, 1]),
        "reset": rng.choice(["sync", "sync", "async", "both"]),
    }
    design = _Design(rng, f"v{seed}", sizes)
    inputs = [_variable(rng, f"i{k}", sizes["width"]) for k in range(rng.randint(1, 5))]
    outputs = [_variable(rng, f"o{k}", sizes["width"]) for k in range(rng.randint(1, 4))]
    outputs.append(_Variable("rest", _REST))
    design.module(f"v{seed}", inputs, outputs, sizes, expose=expose)
    return Circuit(
        seed,
        f"v{seed}",
        {"en": 1} | {v.name: v.width for v in inputs},
        {v.name: v.width for v in outputs},
        verilog="\n".join(design.texts),
        sizes=sizes,
    )


def _variable(rng, name, limit):
    return _Variable(name, width_up_to(rng, limit), rng.random() < 0.35)


class _Design:
    """Modules of one design; ``texts`` has each after those that it uses."""

    def __init__(self, rng, name, sizes):
        self.rng = rng
        self.name = name
        self.sizes = sizes
        self.texts = []
        self.modules = 0

    def module(self, name, inputs, outputs, sizes, parameters=(), expose=False):
        """Write a random module; ``expose`` adds an output for each of its variables."""
        maker = _Maker(self, sizes)
        maker.pool = list(inputs)
        for parameter in parameters:
            # Selections of a parameter are not allowed.
            value = _Variable(f"{parameter}_value", 32, True)
            maker.lines.append(f"wire {value.range}{value.name} = {parameter};")
            maker.pool.append(value)
        maker.fill()
        for output in outputs:
            if output.name == "rest":
                text = " ^ ".join(_folded(v, k) for k, v in enumerate(maker.pool))
                maker.lines.append(f"assign rest = {text};")
            elif output.name.startswith("s_") and sizes["registers"]:
                # A state that breaks the path through the module.
                maker.lines += [
                    f"reg {output.range}{output.name}_q = {maker.constant(output.width)};",
                    f"always @(posedge clk) if (en) {output.name}_q <= {maker.expr(2)};",
                    f"assign {output.name} = {output.name}_q;",
                ]
            else:
                maker.lines.append(f"assign {output.name} = {maker.expr(2)};")
        if expose:
            for v in maker.pool:
                outputs.append(_Variable(f"z_{v.name}", v.width))
                maker.lines.append(f"assign z_{v.name} = {v.name};")
        ports = ["input clk", "input rst", "input en"]
        ports += [f"input {v.range}{v.name}" for v in inputs]
        ports += [f"output {v.range}{v.name}" for v in outputs]
        head = f"module {name}"
        if parameters:
            head += " #(" + ", ".join(f"parameter signed [31:0] {p} = 3" for p in parameters) + ")"
        lines = [f"{head} (" + ", ".join(ports) + ");"]
        lines += ["  " + line for text in maker.lines for line in text.split("\n")]
        self.texts.append("\n".join([*lines, "endmodule", ""]))


def _folded(variable, number):
    pieces = []
    for start in range(0, variable.width, _REST):
        top = min(start + _REST, variable.width) - 1
        cut = start + number % (top - start + 1)
        if variable.width == 1:
            pieces.append(variable.name)
        elif cut > start:
            name = variable.name
            pieces.append(f"{{{name}[{cut - 1}:{start}], {name}[{top}:{cut}]}}")
        else:
            pieces.append(f"{variable.name}[{top}:{start}]")
    return " ^ ".join(pieces)


class _Maker:
    """Lines of one module; ``pool`` holds the variables that new logic may read."""

    def __init__(self, design, sizes):
        self.design = design
        self.rng = design.rng
        self.sizes = sizes
        self.limit = sizes["width"]
        self.lines = []
        self.pool = []
        self.functions = []
        self.count = 0
        # Whether blocks select variable parts on the left, instead of concatenating there.
        self.selecting = self.rng.random() < 0.5

    def fill(self):
        rng, sizes = self.rng, self.sizes
        steps = [self.wires] * sizes["statements"]
        steps += [self.comb_block] * sizes["statements"]
        steps += [self.function] * (rng.random() < 0.4)
        steps += [self.ripple] * (rng.random() < 0.25)
        steps += [self.loop] * (rng.random() < 0.4)
        steps += [self.choice] * (rng.random() < 0.2)
        if sizes["registers"]:
            steps += [self.clocked_block] * sizes["statements"]
            steps += [self.memory] * sizes["memories"]
        if sizes["levels"]:
            steps.append(self.instance)
        if sizes["regular"]:
            steps.append(self.regular)
        rng.shuffle(steps)
        for step in steps:
            step()

    def name(self, prefix):
        self.count += 1
        return f"{prefix}{self.count}"

    def new(self, prefix, width=None):
        variable = _variable(self.rng, self.name(prefix), self.limit)
        return variable if width is None else _Variable(variable.name, width, variable.signed)

    # Expressions: text in brackets or a name; all constants have a size.

    def constant(self, width=None):
        rng = self.rng
        width = width or width_up_to(rng, self.limit)
        value = extreme(rng, width)
        kind = rng.random()
        if kind < 0.3:
            return f"{width}'h{value:x}"
        if kind < 0.5:
            return f"{width}'b{value:0{width}b}"
        if kind < 0.75 and width < 64:
            return f"{width}'sd{value}"
        return f"{width}'d{value}"

    def divisor(self):
        """A constant that is neither 0 nor, as a signed number, -1."""
        width = self.rng.randint(3, min(64, max(3, self.limit)))
        value = 0
        while value in (0, (1 << width) - 1):
            value = extreme(self.rng, width)
        return f"{width}'{self.rng.choice(['', 's'])}d{value}"

    def variable(self):
        if self.rng.random() < 0.4:
            return self.rng.choice(self.pool[-6:])
        return self.rng.choice(self.pool)

    def expr(self, depth):
        rng = self.rng
        if depth <= 0 or rng.random() < 0.08:
            kind = rng.random()
            if kind < 0.6:
                return self.variable().name
            return self.constant() if kind < 0.75 else self.selection()
        a = self.expr(depth - 1)
        kind = rng.random()
        if kind < 0.33:
            operator = rng.choice("+ - * & | ^ ~^ + - & |".split())
            return f"({a} {operator} {self.expr(depth - 1)})"
        if kind < 0.45:
            operator = rng.choice("== != < <= > >= && || === !==".split())
            return f"({a} {operator} {self.expr(depth - 1)})"
        if kind < 0.55:
            operator = rng.choice("<< >> >>> >>> <<<".split())
            # Verilator refuses constant amounts that are very large.
            amount = self.variable().name if rng.random() < 0.6 else f"{rng.randint(0, 70)}"
            amount = (
                f"({amount} {rng.choice('+-&')} {self.variable().name})" if kind < 0.48 else amount
            )
            return f"({a} {operator} {amount})"
        if kind < 0.65:
            # A blank, because && and the like would be something else.
            return f"({rng.choice('~ - + ! & | ^ ~& ~| ~^ ~ -'.split())} {a})"
        if kind < 0.73:
            return f"({self.expr(1)} ? {a} : {self.expr(depth - 1)})"
        if kind < 0.81:
            parts = [a, *(self.expr(depth - 1) for _ in range(rng.randint(0, 2)))]
            text = "{" + ", ".join(parts) + "}"
            return f"{{{rng.randint(1, 3)}{text}}}" if rng.random() < 0.3 else text
        if kind < 0.88:
            return f"{rng.choice(['$signed', '$unsigned'])}({a})"
        if kind < 0.93:
            return f"({a} {rng.choice('/%')} {self.divisor()})"
        if kind < 0.95:
            divisor = f"{{{self.variable().name}}}"
            if rng.random() < 0.5:
                divisor = f"$signed({{1'b0, {self.variable().name}}})"
            return f"({divisor} != 1'd0 ? {a} {rng.choice('/%')} {divisor} : {self.constant()})"
        if kind < 0.97:
            if rng.random() < 0.5:
                return f"({a} ** {rng.randint(0, 3)})"
            amount = self.rng.choice(self.pool)
            top = min(amount.width, 4)
            exponent = f"{amount.name}[{top - 1}:0]" if amount.width > 1 else amount.name
            return f"({rng.randint(3, 20)}'d2 ** {exponent})"
        if self.functions:
            name, count = rng.choice(self.functions)
            return f"{name}({', '.join(self.expr(depth - 1) for _ in range(count))})"
        return self.selection()

    def index(self, limit):
        """An unsigned expression whose value is at most ``limit``."""
        variable = self.rng.choice(self.pool)
        bits = min((limit + 1).bit_length() - 1, variable.width)
        if bits == 0:
            return "1'd0"
        if self.rng.random() < 0.4 and limit >= 2:
            low_bits = self.bits_of(variable, min(variable.width, 20), 0)
            return f"({low_bits} % {limit.bit_length() + 1}'d{limit + 1})"
        return self.bits_of(variable, bits, self.rng.randint(0, variable.width - bits))

    @staticmethod
    def bits_of(variable, width, low):
        """Unsigned bits of a variable; Icarus takes the selection of all bits for the variable."""
        if width == variable.width:
            return f"{{{variable.name}}}"
        return f"{variable.name}[{low + width - 1}:{low}]"

    def part_of(self, variable, constant=False):
        """Name and width of a random part of a variable, at a constant place if that is asked."""
        rng, width = self.rng, variable.width
        if width == 1:
            return variable.name, 1
        kind = 0 if constant else rng.random()
        if kind < 0.4:
            low = rng.randrange(width)
            high = rng.randrange(low, width)
            if high - low + 1 == width:
                high = width - 2
            return f"{variable.name}[{high}:{low}]", high - low + 1
        if kind < 0.65:
            return f"{variable.name}[{self.index(width - 1)}]", 1
        size = rng.randint(1, width)
        if kind < 0.85:
            return f"{variable.name}[{self.index(width - size)} +: {size}]", size
        # Wide enough that the sum does not wrap.
        base = f"(10'd{size - 1} + {self.index(width - size)})"
        return f"{variable.name}[{base} -: {size}]", size

    def selection(self):
        return self.part_of(self.rng.choice(self.pool))[0]

    # Statements

    def target(self, variables):
        rng = self.rng
        kind = rng.random()
        if kind < 0.6:
            return rng.choice(variables).name
        # Yosys refuses some concatenations of what is selected by a variable elsewhere.
        if kind < 0.8 or self.selecting:
            return self.part_of(rng.choice(variables), not self.selecting)[0]
        some = rng.sample(variables, rng.randint(1, len(variables)))
        return "{" + ", ".join(v.name for v in some) + "}"

    def assignments(self, variables, operator, levels):
        """Text of assignments to ``variables``, some below conditions."""
        rng, depth = self.rng, self.sizes["depth"]
        lines = []
        for _ in range(rng.choice([1, 1, 2])):
            kind = rng.random() if levels else 0
            if kind < 0.5:
                lines.append(f"{self.target(variables)} {operator} {self.expr(depth)};")
            elif kind < 0.7:
                text = [f"if ({self.expr(2)}) begin"]
                text.append(self.assignments(variables, operator, levels - 1))
                if rng.random() < 0.3:
                    text.append(f"end else if ({self.expr(1)}) begin")
                    text.append(self.assignments(variables, operator, levels - 1))
                if rng.random() < 0.5:
                    text.append("end else begin")
                    text.append(self.assignments(variables, operator, levels - 1))
                lines.append("\n".join([*text, "end"]))
            elif kind < 0.9 or not self.selecting:
                lines.append(self.case(variables, operator, levels - 1))
            else:
                lines.append(self.for_loop(rng.choice(variables), operator))
        if operator == "<=":
            # In a nested block, Yosys 0.64 to 0.70 lets conditional assignments win over later ones
            # that are not: `if (a) begin if (b) q <= 1; q <= 0; end`.
            lines.sort(key=lambda text: text.startswith(("if ", "case")) or " if (" in text)
        return "\n".join(lines)

    def case(self, variables, operator, levels):
        rng = self.rng
        kind = rng.choice(["case", "casez", "casez", "one"])
        tests = [v for v in self.pool if v.width <= 12] or [self.rng.choice(self.pool)]
        test = rng.choice(tests)
        width = test.width
        lines = ["case (1'b1)" if kind == "one" else f"{kind} ({{{test.name}}})"]
        for _ in range(rng.randint(1, 5)):
            if kind == "one":
                # No variable selections, which Verilator refuses here.
                a, b = self.variable().name, self.variable().name
                items = [rng.choice([f"{a} < {b}", f"|{a}", f"!{a}", f"{a} == {b}"])]
            else:
                items = []
                for _ in range(rng.randint(1, 3)):
                    bits = f"{extreme(rng, width):0{width}b}"
                    if kind == "casez":
                        blank = rng.choice([0, 0.3, 0.8])
                        bits = "".join("?" if rng.random() < blank else bit for bit in bits)
                    items.append(f"{width}'b{bits}")
            lines.append(f"{', '.join(items)}: begin")
            lines.append(self.assignments(variables, operator, levels))
            lines.append("end")
        if rng.random() < 0.6:
            lines += ["default: begin", self.assignments(variables, operator, levels), "end"]
        return "\n".join([*lines, "endcase"])

    def for_loop(self, variable, operator):
        """A loop over the bits of a variable or, if blocking, one that accumulates."""
        rng = self.rng
        other = self.rng.choice(self.pool)
        count = min(variable.width, other.width, 24)
        index = self.loop_index()
        head = f"for ({index} = 0; {index} < {count}; {index} = {index} + 1)"
        if variable.width > 1 and other.width > 1 and rng.random() < 0.6:
            text = rng.choice(
                [
                    f"{variable.name}[{index}] {operator} {other.name}[{count - 1} - {index}];",
                    f"if ({other.name}[{index}]) {variable.name}[{index}] {operator} 1'b1;",
                    f"if ({other.name}[{index}]) {variable.name} {operator} {index};",
                ]
            )
            return f"{head} {text}"
        if operator == "=" and other.width > 1:
            return f"{head} {variable.name} = {variable.name} + {other.name}[{index}];"
        return f"{variable.name} {operator} {self.expr(1)};"

    def loop_index(self):
        name = self.name("k")
        self.lines.insert(0, f"integer {name};")
        return name

    # Items of the module

    def wires(self):
        rng, depth = self.rng, self.sizes["depth"]
        kind = rng.random()
        if kind < 0.6:
            v = self.new("w")
            self.lines.append(f"wire {v.range}{v.name} = {self.expr(depth)};")
            self.pool.append(v)
        elif kind < 0.8:
            some = [self.new("w") for _ in range(rng.randint(1, 3))]
            self.lines += [f"wire {v.range}{v.name};" for v in some]
            names = ", ".join(v.name for v in some)
            self.lines.append(f"assign {{{names}}} = {self.expr(depth)};")
            self.pool += some
        else:
            v = self.new("w")
            self.lines.append(f"wire {v.range}{v.name};")
            low = 0
            while low < v.width:
                high = rng.randrange(low, v.width)
                part = f"[{high}:{low}]" if v.width > 1 else ""
                self.lines.append(f"assign {v.name}{part} = {self.expr(1)};")
                low = high + 1
            self.pool.append(v)

    def comb_block(self):
        rng = self.rng
        some = [self.new("c") for _ in range(rng.choice([1, 1, 2, 3]))]
        self.lines += [f"reg {v.range}{v.name};" for v in some]
        first = [f"{v.name} = en ? {self.expr(1)} : {self.expr(0)};" for v in some]
        body = "\n".join([*first, self.assignments(some, "=", rng.randint(1, 3))])
        self.lines.append(f"always @* begin\n{body}\nend")
        self.pool += some

    def clocked_block(self):
        rng = self.rng
        some = [self.new("r") for _ in range(rng.choice([1, 1, 2, 3]))]
        reset = {v.name: self.constant(v.width) for v in some}
        separate = rng.random() < 0.4
        for v in some:
            init = reset[v.name] if rng.random() < 0.7 else self.constant(v.width)
            if separate:
                self.lines.append(f"reg {v.range}{v.name};\ninitial {v.name} = {init};")
            else:
                self.lines.append(f"reg {v.range}{v.name} = {init};")
        self.pool += some
        kind = rng.random()
        style = self.sizes["reset"]
        if style == "both":
            style = rng.choice(["sync", "async"])
        first = ""
        if rng.random() < 0.25 and (style == "sync" or kind < 0.35):
            # A blocking variable: read only in this block, so in no other process.
            temporary = self.new("t")
            self.lines.append(f"reg {temporary.range}{temporary.name} = {self.constant()};")
            first = f"{temporary.name} = {self.expr(2)};\n"
            self.pool.append(temporary)
        body = first + self.assignments(some, "<=", rng.randint(0, 2))
        if first:
            self.pool.remove(temporary)
        if rng.random() < 0.4:
            body = f"if ({self.expr(1)}) begin\n{body}\nend"
        clear = "\n".join(f"{v.name} <= {reset[v.name]};" for v in some)
        if kind < 0.35:
            self.lines.append(f"always @(posedge clk) begin\n{body}\nend")
        elif style == "sync":
            condition = "rst" if rng.random() < 0.7 else f"rst | {self.expr(1)}"
            if rng.random() < 0.3:
                body = f"{body}\nif ({condition}) begin\n{clear}\nend"
            else:
                body = f"if ({condition}) begin\n{clear}\nend else begin\n{body}\nend"
            self.lines.append(f"always @(posedge clk) begin\n{body}\nend")
        elif kind < 0.8:
            body = f"if (rst) begin\n{clear}\nend else begin\n{body}\nend"
            self.lines.append(f"always @(posedge clk or posedge rst)\n{body}")
        else:
            low = self.name("rst_n")
            self.lines.append(f"wire {low} = ~rst;")
            body = f"if (!{low}) begin\n{clear}\nend else begin\n{body}\nend"
            self.lines.append(f"always @(posedge clk or negedge {low})\n{body}")

    def function(self):
        rng = self.rng
        name = self.name("f")
        result = self.new("x")
        arguments = [self.new("a") for _ in range(rng.randint(1, 3))]
        local = self.new("b")
        pool, self.pool = self.pool, list(arguments)
        functions, self.functions = self.functions, []
        lines, self.lines = self.lines, []
        body = [f"{local.name} = {self.expr(2)};", f"{name} = {self.expr(1)};"]
        self.pool.append(local)
        selecting, self.selecting = self.selecting, True
        body.append(self.assignments([_Variable(name, result.width), local], "=", 1))
        self.selecting = selecting
        body.append(f"{name} = {name} ^ {self.expr(2)};")
        # Indices of loops were declared as if for the module.
        indices, self.lines = self.lines, lines
        declarations = [f"input {v.range}{v.name};" for v in arguments]
        declarations += [f"reg {local.range}{local.name};", *indices]
        text = "\n".join([*declarations, "begin", *body, "end"])
        self.lines.append(f"function {result.range}{name};\n{text}\nendfunction")
        self.pool = pool
        self.functions = [*functions, (name, len(arguments))]

    def ripple(self):
        """Bits of a wire that depend on lower bits of the same wire."""
        vectors = [v for v in self.pool if v.width > 1]
        if not vectors:
            return
        a, b = self.rng.choice(vectors), self.rng.choice(vectors)
        count = min(a.width, b.width)
        chain = _Variable(self.name("ripple"), count + 1)
        index = self.name("g")
        a, b, c = (f"{v.name}[{index}]" for v in (a, b, chain))
        self.lines.append(
            f"wire {chain.range}{chain.name};\n"
            f"assign {chain.name}[0] = en;\n"
            f"genvar {index};\n"
            f"generate for ({index} = 0; {index} < {count}; {index} = {index} + 1) "
            f"begin : block_{index}\n"
            f"assign {chain.name}[{index} + 1] = ({a} & {b}) | (({a} ^ {b}) & {c});\n"
            f"end endgenerate"
        )
        self.pool.append(chain)

    def loop(self):
        v = self.new("l")
        body = f"{v.name} = en ? {self.expr(1)} : {self.expr(0)};\n{self.for_loop(v, '=')}"
        self.lines.append(f"reg {v.range}{v.name};\nalways @* begin\n{body}\nend")
        self.pool.append(v)

    def choice(self):
        """Logic that depends on a constant."""
        v = self.new("q")
        size = self.name("SIZE")
        label = self.name("choice")
        first, second, third = (f"assign {v.name} = {self.expr(2)};" for _ in range(3))
        self.lines.append(
            f"localparam {size} = {self.rng.randint(0, 20)};\n"
            f"wire {v.range}{v.name};\n"
            f"generate if ({size} > 10) begin : {label}_a\n{first}\nend else "
            f"case ($clog2({size} + 1))\n"
            f"0, 1, 2: begin : {label}_b\n{second}\nend\n"
            f"default: begin : {label}_c\n{third}\nend\n"
            "endcase endgenerate"
        )
        self.pool.append(v)

    def memory(self):
        rng = self.rng
        size = width_up_to(rng, min(self.limit, 40))
        lanes = rng.choice([1, 1, 2, 3, 4])
        width = size * lanes
        depth = rng.choice([2, 4, 8, 16, 3, 5, 12])
        name, index = self.name("mem"), self.loop_index()
        first = rng.choice([0, 0, 0, 3])
        self.lines.append(f"reg [{width - 1}:0] {name} [{first}:{first + depth - 1}];")
        if rng.random() < 0.5:
            words = [f"{name}[{first + k}] = {self.constant(width)};" for k in range(depth)]
            self.lines.append("initial begin\n" + "\n".join(words) + "\nend")
        else:
            self.lines.append(
                f"initial for ({index} = {first}; {index} < {first + depth}; "
                f"{index} = {index} + 1) "
                f"{name}[{index}] = {self.constant(width)} ^ ({index} * {rng.randint(0, 999)});"
            )

        def address():
            # Wide enough that the sum does not wrap.
            where = self.index(depth - 1)
            return f"(6'd{first} + {where})" if first else where

        body = []
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            where = address()
            if lanes > 1:
                strobe = _Variable(self.name("we"), lanes)
                data = _Variable(self.name("d"), width)
                self.lines += [
                    f"wire {strobe.range}{strobe.name} = {self.expr(1)};",
                    f"wire {data.range}{data.name} = {self.expr(1)};",
                ]
                lane = self.loop_index()
                part = f"[{lane} * {size} +: {size}]"
                body.append(
                    f"for ({lane} = 0; {lane} < {lanes}; {lane} = {lane} + 1) "
                    f"if ({strobe.name}[{lane}]) {name}[{where}]{part} <= {data.name}{part};"
                )
            else:
                body.append(f"if ({self.expr(1)}) {name}[{where}] <= {self.expr(1)};")
        later = []
        for _ in range(rng.randint(1, 3)):
            q = _Variable(self.name("q"), width, rng.random() < 0.3)
            if rng.random() < 0.4:
                self.lines.append(f"wire {q.range}{q.name} = {name}[{address()}];")
            else:
                self.lines.append(f"reg {q.range}{q.name} = {self.constant(width)};")
                enable = f"if ({self.expr(1)}) " if rng.random() < 0.5 else ""
                read = f"{enable}{q.name} <= {name}[{address()}];"
                if rng.random() < 0.2:
                    read = f"if (rst) {q.name} <= {self.constant(width)}; else {read}"
                body.insert(rng.randint(0, len(body)), read)
            later.append(q)
        if body:
            text = "\n".join(body)
            self.lines.append(f"always @(posedge clk) begin\n{text}\nend")
        self.pool += later

    def instance(self):
        rng = self.rng
        inputs = [_variable(rng, f"i{k}", self.limit) for k in range(rng.randint(1, 3))]
        outputs = [_variable(rng, f"o{k}", self.limit) for k in range(rng.randint(1, 3))]
        sizes = self.sizes | {
            "levels": self.sizes["levels"] - 1,
            "statements": rng.randint(1, 2),
            "regular": 0,
        }
        self.design.modules += 1
        module = f"{self.design.name}_m{self.design.modules}"
        self.design.module(module, inputs, outputs, sizes, parameters=["K"])
        for _ in range(rng.choice([1, 1, 2, 3, 9])):
            results = [_Variable(self.name("n"), v.width, v.signed) for v in outputs]
            connections = [".clk(clk), .rst(rst), .en(en)"]
            for v in inputs:
                # By a wire, since simulators do not agree on the width of expressions here.
                wire = _Variable(self.name("p"), v.width)
                self.lines.append(f"wire {wire.range}{wire.name} = {self.expr(1)};")
                connections.append(f".{v.name}({wire.name})")
            connections += [f".{v.name}({r.name})" for v, r in zip(outputs, results, strict=True)]
            self.lines += [f"wire {r.range}{r.name};" for r in results]
            parameter = f"#(.K({rng.randint(-3, 3)})) " if rng.random() < 0.5 else ""
            text = ", ".join(connections)
            self.lines.append(f"{module} {parameter}{self.name('u')} ({text});")
            self.pool += results

    def regular(self):
        """A grid of equal elements, made by loops."""
        rng = self.rng
        limit = min(self.limit, rng.choice([9, 17, 33]))
        across, down = width_up_to(rng, limit), width_up_to(rng, limit)
        rows, columns = rng.choice([(1, 8), (2, 5), (3, 4), (4, 4), (5, 8), (8, 1)])
        # Outputs that are named s_ are registers.
        state = [rng.random() < 0.6 for _ in range(2)]
        x_out, y_out = (
            f"s_{name}" if is_state else name
            for name, is_state in zip(("x_out", "y_out"), state, strict=True)
        )
        sizes = self.sizes | {"levels": 0, "regular": 0, "statements": 1, "depth": 1}
        sizes |= {"width": limit, "memories": int(rng.random() < 0.1)}
        self.design.modules += 1
        module = f"{self.design.name}_m{self.design.modules}"
        inputs = [_Variable("x", across), _Variable("y", down), _Variable("number", 8)]
        outputs = [_Variable(x_out, across), _Variable(y_out, down)]
        self.design.module(module, inputs, outputs, sizes, parameters=["K"])
        xs = _Variable(self.name("xs"), across * rows * (columns + 1))
        ys = _Variable(self.name("ys"), down * (rows + 1) * columns)
        r, c = self.name("g"), self.name("g")
        parameter = rng.choice(["", "", "", f"#(.K({c} % 2)) "])
        number = rng.choice(["8'd7", f"{c} + {columns} * {r}", f"{c}"])
        x, y = f"({r} * {columns + 1} + {c})", f"({r} * {columns} + {c})"
        self.lines += [f"wire {v.range}{v.name};" for v in (xs, ys)]
        top = down * columns - 1
        self.lines += [f"assign {ys.name}[{top}:0] = {self.expr(2)};"]
        for k in range(rows):
            low = k * (columns + 1) * across
            self.lines.append(f"assign {xs.name}[{low + across - 1}:{low}] = {self.expr(1)};")
        self.lines.append(
            f"genvar {r}, {c};\n"
            f"generate for ({r} = 0; {r} < {rows}; {r} = {r} + 1) begin : row_{r}\n"
            f"for ({c} = 0; {c} < {columns}; {c} = {c} + 1) begin : column_{c}\n"
            f"{module} {parameter}pe (.clk(clk), .rst(rst), .en(en), .number({number}),\n"
            f".x({xs.name}[{x} * {across} +: {across}]), "
            f".{x_out}({xs.name}[({x} + 1) * {across} +: {across}]),\n"
            f".y({ys.name}[{y} * {down} +: {down}]), "
            f".{y_out}({ys.name}[({y} + {columns}) * {down} +: {down}]));\n"
            "end end endgenerate"
        )
        results = [
            _Variable(self.name("e"), across * rows),
            _Variable(self.name("e"), down * columns),
        ]
        pieces = [
            f"{xs.name}[{((k + 1) * (columns + 1)) * across - 1} -: {across}]" for k in range(rows)
        ]
        self.lines.append(
            f"wire {results[0].range}{results[0].name} = {{{', '.join(pieces)}}};\n"
            f"wire {results[1].range}{results[1].name} = "
            f"{ys.name}[{ys.width - 1} -: {down * columns}];"
        )
        self.pool += results
