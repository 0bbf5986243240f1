"""From designs to the netlist of `ir`.

RTLIL is read (`rtlil`), each module's drivers are collected (`template`), and the instances of the
hierarchy are put together in bodies (`hierarchy`): one for the top, and one for each module that
has many equal instances, whose nodes stand for all of them at once. In a body, operations are made
into nodes (`body`), operands first. Where operations need one another in a circle, they are cut in
the runs of bits that really do (`loops`): only a circle of bits is a combinational loop.
"""

import re

from amaranth.back import rtlil as amaranth_rtlil

from .hierarchy import Design
from .ir import without_collection
from .rtlil import parse
from .template import UnsupportedDesign, public
from .verilog import prepare, rtlil_of_verilog

__all__ = [
    "UnsupportedDesign",
    "elaborate",
    "graph_of_rtlil",
    "read_verilog",
    "rtlil_of_verilog",
]


def elaborate(component, *, name="top", platform=None):
    """Netlist of an Amaranth component.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component
    name : str
        Name of the top module.
    platform : object
        Passed to the component's ``elaborate``. Modules that it notes by name in
        ``platform.modules``, as RTLIL text, are part of the design.

    Raises
    ------
    UnsupportedDesign
        See `graph_of_rtlil`.
    """
    text = amaranth_rtlil.convert(component, name=name, platform=platform)
    modules = getattr(platform, "modules", None)
    if modules:
        text = "\n".join([text, *modules.values()])
    return graph_of_rtlil(text, f"\\{name}")


def read_verilog(files, top):
    """Netlist of a module written in Verilog, by way of Yosys.

    Parameters
    ----------
    files : list of str or path
        See `verilog.rtlil_of_verilog`.
    top : str
        Name of the module.

    Raises
    ------
    ValueError
        If a file is missing, or Yosys finds an error in it.
    UnsupportedDesign
        See `graph_of_rtlil`.
    """
    return graph_of_rtlil(rtlil_of_verilog(files, top), f"\\{top}")


@without_collection()
def graph_of_rtlil(text, top=None):
    """Netlist of a design given as RTLIL text.

    Undefined and undriven bits are 0. An asynchronous reset acts in the cycles in which it is
    active. Texts that the design prints are left out; assumptions are checked as assertions are.

    Parameters
    ----------
    text : str
    top : str, optional
        Name of the top module as the text has it; else the one marked as such, or the only one that
        is not part of another.

    Raises
    ------
    ValueError
        If the text is no RTLIL.
    UnsupportedDesign
        If the design has what the compiled engine does not simulate: latches, tristates, ports
        in both directions, clocks other than the rising edge of one input, combinational loops,
        cells of an unknown type.
    """
    if "sync " in text and re.search(r"^\s*sync ", text, re.MULTILINE):
        text = prepare(text)
    modules = parse(text)
    name = _top_of(modules, top)
    flat: set[str] = set()
    while True:
        design = Design(modules, name, flat)
        graph = design.build()
        more = design.types_on_loop()
        if not more:
            return graph
        flat |= more


def _top_of(modules, top):
    if top is not None:
        if top not in modules:
            raise ValueError(f"the design has no module {public(top)!r}")
        return top
    used = {cell.type for module in modules.values() for cell in module.cells}
    found = [name for name, module in modules.items() if module.attributes.get("top")]
    found = found or [name for name in modules if name not in used]
    if len(found) != 1:
        names = ", ".join(repr(public(name)) for name in found)
        raise ValueError(f"the design has no single top module: {names or 'none'}")
    return found[0]
