"""Components that are used many times and elaborated once.

Amaranth elaborates every submodule by itself, however often the same one is used. With `Once`
around it, a component becomes an instance of a module whose text is made once:

    m.submodules.element_3 = element = Once(Element, width=20)
    text = convert(design, name="array")

Under any other tool, Amaranth's simulator among them, the component itself takes its place.
"""

import gc
import re
from contextlib import contextmanager

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Elaboratable, Instance, ResetSignal, Value
from amaranth.lib.wiring import In

__all__ = ["Once", "Shared", "convert"]


class Once(Elaboratable):
    """A component that is elaborated once for all uses with equal parameters.

    It has the component's signature and ports and is used in its place.
    `amaranth.hdl.DomainRenamer` may stand around it; `amaranth.hdl.ResetInserter` and
    `amaranth.hdl.EnableInserter` would not reach what is inside.

    Parameters
    ----------
    component : class
        Of the component (`amaranth.lib.wiring.Component`). Its submodules are best created in its
        ``elaborate``, which then runs but once.
    *args, **kwargs
        Its parameters: hashable, for equal ones mean the same hardware.

    Members
    -------
    component : amaranth.lib.wiring.Component
    ...
        The component's ports.

    Raises
    ------
    TypeError
        If a parameter is not hashable.
    """

    def __init__(self, component, *args, **kwargs):
        key = (component, args, tuple(sorted(kwargs.items())))
        try:
            hash(key)
        except TypeError as error:
            # Amaranth would warn of an object that is never elaborated.
            self._MustUse__used = True
            name = component.__name__
            raise TypeError(
                f"parameters of {name} must be hashable to be elaborated once: {error}"
            ) from None
        self._key = key
        self.component = component(*args, **kwargs)

    @property
    def signature(self):
        return self.component.signature

    def __getattr__(self, name):
        # Not before __init__ has set it, as when a copy is made.
        if name == "component":
            raise AttributeError(name)
        return getattr(self.component, name)

    def elaborate(self, platform):
        if not isinstance(platform, Shared):
            return self.component
        return platform.instance(self._key, self.component)


class Shared:
    """A platform that collects the modules of `Once`.

    Whoever converts a design under it must add `modules` to the text; `convert` does.

    Parameters
    ----------
    reserved : names
        Of modules elsewhere in the design.
    emit_src : bool
        Whether the text says where in the source things come from.

    Members
    -------
    modules : dict of name to text
        RTLIL of each module with its own submodules, whose names begin with its name and a dot.
        Modules come after those that they have instances of.
    """

    def __init__(self, *, reserved=("top",), emit_src=True):
        self.modules: dict[str, str] = {}
        self._emit_src = emit_src
        self._taken = set(reserved)
        self._names: dict[tuple, str] = {}
        self._ports: dict[str, set[str]] = {}

    def instance(self, key, component):
        """An instance of the module of ``component``, which is made if ``key`` is new."""
        if key not in self._names:
            self._names[key] = self._make(component)
        # Amaranth warns of components that are never elaborated, and all but the first are not.
        component._MustUse__used = True
        name = self._names[key]
        missing = set(self._ports[name])
        ports = []
        for path, member, value in component.signature.flatten(component):
            port = "__".join(map(str, path))
            if port in missing:
                missing.remove(port)
                ports.append(("i" if member.flow == In else "o", port, Value.cast(value)))
        # What Amaranth adds is the clock and the reset of each domain.
        return Instance(name, *ports, *map(_domain_port, sorted(missing)))

    def _make(self, component):
        """Convert a component and return the name of its module."""
        stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(component).__name__).lower()
        name, number = stem, 1
        while name in self._taken or name in self.modules:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        text = rtlil.convert(component, name=name, platform=self, emit_src=self._emit_src)
        top, end, rest = text.partition("\nend\n")
        top = _EMPTY_PORT.sub(r"\1", top)
        self._ports[name] = set(_PORT.findall(top))
        self.modules[name] = _TOP.sub("", top) + end + rest
        return name


_PORT = re.compile(r"^ *wire .*\b(?:input|output) \d+ [^\\]*\\(\S+)$", re.MULTILINE)
# Verilog has none of these, and nothing is lost with one.
_EMPTY_PORT = re.compile(r"^( *wire width 0) (?:input|output) \d+", re.MULTILINE)
_TOP = re.compile(r"^ *attribute \\top 1\n", re.MULTILINE)


def _domain_port(name):
    """Connection of ``clk`` or ``<domain>_clk``, ``rst`` or ``<domain>_rst``."""
    domain, _, kind = name.rpartition("_")
    domain = domain or "sync"
    value = ClockSignal(domain) if kind == "clk" else ResetSignal(domain, allow_reset_less=True)
    return ("i", name, value)


def convert(component, *, name="top", emit_src=True):
    """RTLIL text of a component and of the modules that it uses by `Once`.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component
    name : str
        Of the top module.
    emit_src : bool
        Whether the text says where in the source things come from.
    """
    platform = Shared(reserved=(name,), emit_src=emit_src)
    if isinstance(component, Once):
        component._MustUse__used = True
        component = component.component
    with _no_collection(), _quick_memories():
        top = rtlil.convert(component, name=name, platform=platform, emit_src=emit_src)
    return "\n".join([top, *platform.modules.values()])


@contextmanager
def _no_collection():
    """Without searches for cyclic garbage.

    Amaranth makes many objects that all live until the end, and a fourth of the time would go into
    looking at them again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _quick_memories():
    """With contents of memories as text at once, not through an object for each bit.

    Those objects take half of the time for a network that holds its weights. The text is the same.
    """
    original = rtlil.ModuleEmitter.emit_memory
    rtlil.ModuleEmitter.emit_memory = _emit_memory
    try:
        yield
    finally:
        rtlil.ModuleEmitter.emit_memory = original


def _emit_memory(emitter, index, cell):
    """As the method of Amaranth 0.5."""
    width, mask = cell.width, (1 << cell.width) - 1
    bits = "".join(f"{row & mask:0{width}b}" for row in reversed(cell.init)) if width else ""
    emitter.builder.cell(
        "$meminit_v2",
        ports={
            "ADDR": "{  }",
            "DATA": f"{len(bits)}'{bits}" if bits else "{  }",
            "EN": f"{width}'{'1' * width}" if width else "{  }",
        },
        parameters={
            "MEMID": emitter.memories[index].memid,
            "ABITS": 0,
            "WIDTH": width,
            "WORDS": cell.depth,
            "PRIORITY": 0,
        },
        src_loc=cell.src_loc,
    )
