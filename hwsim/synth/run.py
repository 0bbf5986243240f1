"""`synthesize`: from a design to cells, clock and bitstream."""

import base64
import json
import zlib
from dataclasses import asdict

from hwsim.blocks.checks import check_integer
from hwsim.cache import Cache, digest
from hwsim.rtl.verilog import Verilog

from . import parts
from .count import count
from .netlist import Memory, Netlist, script, synthesize_netlist
from .place import Placement, arguments, critical_path, place
from .result import Synthesis
from .tools import ToolError, find
from .wrapper import wrapper

__all__ = ["synthesize"]

# Goes up whenever something here is done in another way, so that old results are not used.
_CACHE = Cache("synthesis", b"hwsim synthesis 7\n")
# Clocks that are asked for unless one is given: what each family reaches in a good design.
_TARGET_HZ = {"ecp5": 100e6, "ice40": 24e6, "xc7": 200e6, "xcup": 300e6}
LARGEST_SEED = (1 << 31) - 1
_LABELS = {
    "lut": "look-up tables",
    "ff": "flip-flops",
    "dsp": "DSPs",
    "bram": "block RAMs",
}
# What tools say of a design that is too large, or too crowded.
_TOO_LARGE = (
    "no BELs remaining",
    "nable to find a placement",
    "nable to find legal placement",
    "nable to place",
    "Failed to expand region",
    "Routing design failed",
    "Failed to route",
    "Too many",
)


def synthesize(design, part, *, speed_grade=None, seed=1, target_hz=None, placed=True):
    """Synthesize a design for a part; place, route and pack it where open tools can.

    Parameters
    ----------
    design : Design, SystolicDesign or Verilog
        See `hwsim.build`.
    part : str
        A name of `hwsim.synth.parts`, for example "ecp5-85f".
    speed_grade : int or str, optional
        6, 7 or 8, ECP5 only; 6, the slowest, unless given.
    seed : int
        Of the placement.
    target_hz : float, optional
        The clock that is asked for. Without it 100 MHz for ECP5, 24 MHz for iCE40; for what is only
        synthesized it goes into the generated constraint.
    placed : bool
        False to stop after synthesis.

    Returns
    -------
    Synthesis

    Raises
    ------
    ValueError
        For an unknown part, for a grade or clock that it does not have, and if a tool is missing.
    """
    part = parts.load(part)
    family = part.family
    grade = _grade(part, speed_grade)
    check_integer("seed", seed, 0)
    if seed > LARGEST_SEED:
        raise ValueError(f"seed must be at most {LARGEST_SEED}, not {seed}")
    target = _target(family, target_hz)
    verilog = design if isinstance(design, Verilog) else design.verilog
    tools = [find("yosys")]
    if family.place and placed:
        tools += [find(family.place), find(family.pack)]
    versions = {tool.name: tool.version for tool in tools}

    netlist = _netlist(verilog, family, versions["yosys"])
    problems = _too_large(netlist, part)
    placement = None
    if family.place and placed and not problems:
        options = {"speed_grade": grade, "seed": seed, "target_hz": target}
        try:
            placement = _placement(netlist.text, part, versions, options)
        except ToolError as error:
            if not any(hint in error.output for hint in _TOO_LARGE):
                raise
            problems = (f"{part.name}: {error}",)
    return Synthesis(part, verilog, netlist, placement, problems, grade, seed, target, versions)


def _grade(part, given):
    grades = part.family.speed_grades
    if given is None:
        return grades[0] if grades else ""
    if not grades:
        raise ValueError(f"speed grades are for ECP5 parts; {part.name} has none to choose from")
    if str(given) not in grades:
        raise ValueError(f"speed_grade must be {', '.join(grades)}, not {given}")
    return str(given)


def _target(family, given):
    if given is None:
        return _TARGET_HZ[family.name]
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"target_hz must be a number, not {given!r}")
    if not 1e6 <= given <= 2e9:
        raise ValueError(f"target_hz must lie in [1e6, 2e9], not {given:g}")
    return float(given)


def _too_large(netlist, part):
    found = count(netlist.cells, part.family)
    return tuple(
        f"needs {found[name]:,} {label}, but {part.name} has {part.available[name]:,}"
        for name, label in _LABELS.items()
        if name in part.available and found[name] > part.available[name]
    )


def _kept(key, make):
    """A value that JSON knows, made once."""
    content = _CACHE.load(key)
    if content is None:
        value = make()
        _CACHE.save(key, zlib.compress(json.dumps(value).encode(), 6))
        return value
    return json.loads(zlib.decompress(content))


def _netlist(verilog, family, version):
    name, text = wrapper(verilog)
    files = [part for file in verilog.files.items() for part in file]
    key = digest("netlist", version, script(verilog, family), name, text, *files)
    found = _kept(key, lambda: asdict(synthesize_netlist(verilog, family)))
    memories = tuple(Memory(**memory) for memory in found["memories"])
    return Netlist(**{**found, "memories": memories})


def _placement(netlist, part, versions, options):
    key = digest(
        "placement", json.dumps(versions, sort_keys=True), netlist, *arguments(part, **options)
    )

    def make():
        done = place(netlist, part, **options)
        return {
            "report": done.report,
            "log": done.log,
            "fmax_hz": done.fmax_hz,
            "slowest": done.slowest,
            "utilization": done.utilization,
            "bitstream": base64.b64encode(done.bitstream).decode(),
        }

    found = _kept(key, make)
    return Placement(
        fmax_hz=found["fmax_hz"],
        path=critical_path(json.loads(found["report"])),
        slowest=tuple((name, unit, delay) for name, unit, delay in found["slowest"]),
        utilization={kind: tuple(counts) for kind, counts in found["utilization"].items()},
        bitstream=base64.b64decode(found["bitstream"]),
        report=found["report"],
        log=found["log"],
    )
