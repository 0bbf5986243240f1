"""The machine at hand: LLVM text to machine code, and its functions."""

import ctypes

import llvmlite.binding as llvm

__all__ = ["Code", "cpu", "object_code", "vector"]


def cpu():
    """Name and features of the processor, as texts."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def vector():
    """Elements per vector: two registers of 16-bit words, or a long one.

    More would be no faster, and LLVM takes vectors apart register by register.
    """
    return 32 if llvm.get_host_cpu_features().get("avx2") else 16


def object_code(text):
    """An object file of LLVM text, for this processor.

    Functions have the attributes ``#0``, ``#1`` to be inlined, or ``#2`` if they are quick as they
    are written; bits in memory ``!range !0``.
    """
    attributes = "nounwind"
    if llvm.get_host_cpu_features().get("avx512bw"):
        attributes += ' "prefer-vector-width"="512" "min-legal-vector-width"="512"'
    module = llvm.parse_assembly(
        f"{text}\n"
        f"attributes #0 = {{ {attributes} }}\n"
        f"attributes #1 = {{ alwaysinline {attributes} }}\n"
        f"attributes #2 = {{ noinline optnone {attributes} }}\n"
        "!0 = !{i8 0, i8 2}\n"
    )
    target = _target()
    # What else the optimiser has to offer costs more time than it saves.
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.run(module, llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options()))
    return target.emit_object(module)


def _target():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = cpu()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=1, codemodel="jitdefault", jit=True
    )


class Code:
    """An object file, loaded; see `codegen` for its functions."""

    def __init__(self, data):
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()
        pointer, count = ctypes.c_void_p, ctypes.c_int64

        def function(name, result, *arguments):
            address = self._engine.get_function_address(name)
            return ctypes.CFUNCTYPE(result, *arguments)(address)

        self.run = function("run", count, pointer, pointer, count)
        self.settle = function("settle", None, pointer, pointer)
        table = (pointer, pointer, count, pointer, count)
        self.record = function("record", count, *table, pointer)
        self.cover = function("cover", count, *table, pointer, pointer, pointer)
