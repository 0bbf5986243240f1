"""Short loops of machine code that show what a core can do: cycles, multiplies, and loads.

Compiled with LLVM for the processor that runs them, so that no library's choice of instructions
stands between the measurement and the hardware. All of them are called without Python's lock, so
that threads run them side by side.
"""

import ctypes
from functools import cache

import llvmlite.binding as llvm

__all__ = ["Probes", "vector_lanes"]

# Dependent operations, and loads, in one turn of a loop.
CHAIN, UNROLLED = 64, 8


def vector_lanes():
    """Floats in a vector register of this processor: 16, 8 or 4."""
    features = llvm.get_host_cpu_features()
    return next(
        (n for flag, n in (("avx512f", 16), ("avx2", 8), ("avx", 8)) if features.get(flag)), 4
    )


class Probes:
    """The loops, as functions of C.

    Members
    -------
    lanes : int
    chain : (turns, seed) -> number
        ``CHAIN`` dependent additions and exclusive ors in a turn, a cycle each.
    multiply : (turns, number) -> number
        ``accumulators`` independent vectors, a fused multiply-add each in a turn.
    read : (address, bytes, turns) -> number
        Loads every vector of a buffer; ``bytes`` is a multiple of a kibibyte.
    copy : (target, source, bytes, turns) -> number
        Loads and stores every vector.
    """

    def __init__(self):
        self.lanes = vector_lanes()
        self.accumulators = 24 if self.lanes == 16 else 12
        self.width = 4 * self.lanes
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        module = llvm.parse_assembly(
            "\n".join((self._chain(), self._multiply(), self._read(), self._copy()))
        )
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
        )
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        size, address = ctypes.c_int64, ctypes.c_void_p
        self.chain = self._function("chain", size, size, size)
        self.multiply = self._function("multiply", ctypes.c_float, size, ctypes.c_float)
        self.read = self._function("read", size, address, size, size)
        self.copy = self._function("copy", size, address, address, size, size)

    def _function(self, name, result, *arguments):
        kind = ctypes.CFUNCTYPE(result, *arguments)
        return kind(self._engine.get_function_address(name))

    def _chain(self):
        body, last = [], "%x"
        for index in range(CHAIN):
            operation, operand = ("add", "%seed") if index % 2 else ("xor", "%turns")
            body.append(f"  %c{index} = {operation} i64 {last}, {operand}")
            last = f"%c{index}"
        return _loop(
            "define i64 @chain(i64 %turns, i64 %seed)",
            [f"%x = phi i64 [%seed, %entry], [{last}, %loop]"],
            body,
            f"ret i64 {last}",
        )

    def _multiply(self):
        kind = f"<{self.lanes} x float>"
        phis, body = [], []
        for index in range(self.accumulators):
            phis.append(f"%a{index} = phi {kind} [%v{index}, %entry], [%b{index}, %loop]")
            body.append(
                f"  %b{index} = call {kind} @llvm.fmuladd.v{self.lanes}f32"
                f"({kind} %a{index}, {kind} %v0, {kind} %v1)"
            )
        entry = [
            f"  %one = insertelement {kind} zeroinitializer, float %x, i32 0",
            f"  %v0 = shufflevector {kind} %one, {kind} zeroinitializer,"
            f" <{self.lanes} x i32> zeroinitializer",
        ]
        for index in range(1, self.accumulators):
            entry.append(f"  %v{index} = fadd {kind} %v{index - 1}, %v0")
        tail = [f"  %s0 = fadd {kind} %b0, %b0"]
        for index in range(1, self.accumulators):
            tail.append(f"  %s{index} = fadd {kind} %s{index - 1}, %b{index}")
        tail.append(f"  %r = extractelement {kind} %s{self.accumulators - 1}, i32 0")
        return f"declare {kind} @llvm.fmuladd.v{self.lanes}f32({kind}, {kind}, {kind})\n" + _loop(
            "define float @multiply(i64 %turns, float %x)",
            phis,
            body,
            "\n".join((*tail, "  ret float %r")).strip(),
            entry,
        )

    def _read(self):
        kind = f"<{self.lanes} x i32>"
        phis, body = [], []
        for index in range(UNROLLED):
            phis.append(f"%a{index} = phi {kind} [zeroinitializer, %entry], [%b{index}, %loop]")
            body += [
                f"  %o{index} = add i64 %at, {index * self.width}",
                f"  %p{index} = getelementptr i8, ptr %from, i64 %o{index}",
                f"  %l{index} = load {kind}, ptr %p{index}, align 64",
                f"  %b{index} = xor {kind} %a{index}, %l{index}",
            ]
        tail = [f"  %s0 = xor {kind} %b0, %b0"]
        for index in range(1, UNROLLED):
            tail.append(f"  %s{index} = xor {kind} %s{index - 1}, %b{index}")
        tail += [
            f"  %e = extractelement {kind} %s{UNROLLED - 1}, i32 0",
            "  %r = sext i32 %e to i64",
        ]
        return self._pass("define i64 @read(ptr %from, i64 %size, i64 %turns)", phis, body, tail)

    def _copy(self):
        kind = f"<{self.lanes} x i32>"
        body = []
        for index in range(UNROLLED):
            body += [
                f"  %o{index} = add i64 %at, {index * self.width}",
                f"  %p{index} = getelementptr i8, ptr %from, i64 %o{index}",
                f"  %l{index} = load {kind}, ptr %p{index}, align 64",
                f"  %q{index} = getelementptr i8, ptr %to, i64 %o{index}",
                f"  store {kind} %l{index}, ptr %q{index}, align 64",
            ]
        head = "define i64 @copy(ptr %to, ptr %from, i64 %size, i64 %turns)"
        return self._pass(head, [], body, ["  %r = add i64 0, 0"])

    def _pass(self, head, phis, body, tail):
        """A loop over a buffer, again and again until all turns are done."""
        step = UNROLLED * self.width
        return _loop(
            head,
            ["%at = phi i64 [0, %entry], [%wrapped, %loop]", *phis],
            [
                *body,
                f"  %next = add i64 %at, {step}",
                "  %over = icmp uge i64 %next, %size",
                "  %wrapped = select i1 %over, i64 0, i64 %next",
            ],
            "\n".join((*tail, "  ret i64 %r")).strip(),
        )


def _loop(head, phis, body, end, entry=()):
    return "\n".join(
        [
            head + " nounwind {",
            "entry:",
            *entry,
            "  br label %loop",
            "loop:",
            "  %i = phi i64 [0, %entry], [%more, %loop]",
            *(f"  {phi}" for phi in phis),
            *body,
            "  %more = add i64 %i, 1",
            "  %again = icmp ult i64 %more, %turns",
            "  br i1 %again, label %loop, label %end",
            "end:",
            f"  {end}",
            "}",
        ]
    )


@cache
def probes():
    """The loops, compiled once."""
    return Probes()
