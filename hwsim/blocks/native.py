"""Plain loops over arrays of integers as machine code: a small part of Python, through LLVM."""

import ast
import ctypes
import functools
import inspect

import numpy as np

__all__ = ["native"]


def native(function):
    """Decorator: the function, compiled when it is first called.

    Its arguments, given by name, are arrays (ndarray of int64) and, annotated as ``int``, integers;
    it returns nothing. It consists of assignments, ``if``, ``while``, ``+ - * & |``, comparisons,
    ``and``, ``or``, ``not``, ``max``, elements of its arrays, and constants of its module. Both
    sides of ``and`` and ``or`` are evaluated; numbers wrap at 64 bits; indices are not checked. As
    ``__wrapped__`` it is still the function in Python.
    """
    compiled = functools.cache(lambda: _compile(function))
    kinds = {p.name: p.annotation for p in inspect.signature(function).parameters.values()}

    @functools.wraps(function)
    def call(**arguments):
        _, run = compiled()
        run(*(arguments[n] if kind is int else _address(arguments[n]) for n, kind in kinds.items()))

    return call


def _address(array):
    if array.dtype != np.int64 or not array.flags.c_contiguous:
        layout = "contiguous" if array.flags.c_contiguous else "with gaps"
        raise TypeError(f"an array must be contiguous and of int64, not {layout} of {array.dtype}")
    return array.ctypes.data


def _compile(function):
    """(what owns the code, the code as a function)."""
    import llvmlite.binding as llvm  # here, as it takes longer than importing all of the package

    tree = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(tree, ast.FunctionDef)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine(opt=2, jit=True)
    module = llvm.parse_assembly(str(_Translation(tree, function.__globals__).module))
    passes = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    kinds = [ctypes.c_int64 if a.annotation else ctypes.c_void_p for a in tree.args.args]
    return engine, ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address(tree.name))


class _Translation:
    """The syntax tree of a function as a ``module`` of LLVM."""

    def __init__(self, tree, constants):
        from llvmlite import ir

        self.word, self.constants = ir.IntType(64), constants
        array = self.word.as_pointer()
        kinds = [self.word if a.annotation else array for a in tree.args.args]
        self.module = ir.Module()
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), tree.name)
        self.builder = ir.IRBuilder(function.append_basic_block())
        # The optimiser turns variables in memory into registers.
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - {"max"}
        names = names - constants.keys() | {a.arg for a in tree.args.args}
        self.names = {name: self.builder.alloca(self.word) for name in sorted(names)}
        for argument, value in zip(tree.args.args, function.args, strict=True):
            if argument.annotation:
                self.builder.store(value, self.names[argument.arg])
            else:
                self.names[argument.arg] = value
        self.statements(tree.body)
        self.builder.ret_void()

    def statements(self, nodes):
        for node in nodes:
            self.statement(node)

    def statement(self, node):
        b = self.builder
        match node:
            case ast.Expr(ast.Constant()):  # the docstring
                pass
            case ast.Assign([target], value):
                b.store(self.value(value), self.place(target))
            case ast.AugAssign(target, op, value):
                b.store(self.value(ast.BinOp(target, op, value)), self.place(target))
            case ast.If(test, body, []):
                with b.if_then(self.bit(test)):
                    self.statements(body)
            case ast.If(test, body, orelse):
                with b.if_else(self.bit(test)) as (then, otherwise):
                    with then:
                        self.statements(body)
                    with otherwise:
                        self.statements(orelse)
            case ast.While(test, body, []):
                head, inside, after = (b.append_basic_block() for _ in range(3))
                b.branch(head)
                b.position_at_end(head)
                b.cbranch(self.bit(test), inside, after)
                b.position_at_end(inside)
                self.statements(body)
                b.branch(head)
                b.position_at_end(after)
            case _:
                raise NotImplementedError(ast.unparse(node))

    def place(self, node):
        """Address of a variable or an element."""
        match node:
            case ast.Subscript(ast.Name(array), index):
                return self.builder.gep(self.names[array], [self.value(index)])
            case ast.Name(name):
                return self.names[name]
        raise NotImplementedError(ast.unparse(node))

    def bit(self, node):
        return self.builder.icmp_signed("!=", self.value(node), self.word(0))

    def value(self, node):
        b = self.builder
        match node:
            case ast.Constant(int(number)):
                return self.word(number)
            case ast.Name(name) if name not in self.names:
                return self.word(self.constants[name])
            case ast.Name() | ast.Subscript():
                return b.load(self.place(node))
            case ast.BinOp(left, op, right) if type(op) in _OPERATIONS:
                return getattr(b, _OPERATIONS[type(op)])(self.value(left), self.value(right))
            case ast.BoolOp(op, values):
                combine = b.and_ if isinstance(op, ast.And) else b.or_
                return b.zext(functools.reduce(combine, map(self.bit, values)), self.word)
            case ast.UnaryOp(ast.Not(), value):
                return b.zext(b.not_(self.bit(value)), self.word)
            case ast.UnaryOp(ast.USub(), value):
                return b.neg(self.value(value))
            case ast.Compare(left, [op], [right]) if type(op) in _COMPARISONS:
                sides = self.value(left), self.value(right)
                return b.zext(b.icmp_signed(_COMPARISONS[type(op)], *sides), self.word)
            case ast.Call(ast.Name("max"), [left, right]):
                left, right = self.value(left), self.value(right)
                return b.select(b.icmp_signed(">", left, right), left, right)
        raise NotImplementedError(ast.unparse(node))


_OPERATIONS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
}
_COMPARISONS = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
