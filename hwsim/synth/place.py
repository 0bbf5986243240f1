"""Place and route by nextpnr: clock, critical path in the design's own names, bitstream."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .netlist import plain, unit_of
from .tools import ToolError, find

__all__ = ["Placement", "Step", "TimingPath", "place"]


@dataclass(frozen=True)
class Step:
    """A part of a path.

    Members
    -------
    kind : str
        "clk-to-q", "logic", "routing" or "setup".
    delay_s : float
    where : str
        Register, memory, expression or net, by the path of its instances.
    cell : str
        What there is of it in the netlist.
    """

    kind: str
    delay_s: float
    where: str
    cell: str


@dataclass(frozen=True)
class TimingPath:
    """A path from register to register.

    Members
    -------
    source, sink : str
        Registers or memories, by the path of their instances.
    source_unit, sink_unit : str
        The parts of the design that they are in.
    delay_s, logic_s, routing_s : float
        The whole, and how it is shared.
    steps : tuple of Step
    """

    source: str
    sink: str
    source_unit: str
    sink_unit: str
    delay_s: float
    logic_s: float
    routing_s: float
    steps: tuple[Step, ...]

    def __str__(self):
        return (
            f"{self.source} -> {self.sink}: {self.delay_s * 1e9:.2f} ns, "
            f"{self.logic_s * 1e9:.2f} ns of it logic"
        )


@dataclass(frozen=True)
class Placement:
    """What place and route found.

    Members
    -------
    fmax_hz : float
    path : TimingPath or None
        The critical one.
    slowest : tuple of (str, str, float)
        For each register or memory of the design that a path ends at, the slowest first: its name,
        the part of the design, and seconds from clock edge to there.
    utilization : dict of str to (int, int)
        Used and available, by type of site; with the wrapper.
    bitstream : bytes
    report : str
        nextpnr's own, as JSON.
    log : str
    """

    fmax_hz: float
    path: TimingPath | None
    slowest: tuple[tuple[str, str, float], ...]
    utilization: dict[str, tuple[int, int]]
    bitstream: bytes
    report: str
    log: str


def arguments(part, *, speed_grade, seed, target_hz):
    """Arguments of nextpnr, without files."""
    options = [*part.place_options, "--seed", str(seed), "--freq", f"{target_hz / 1e6:g}"]
    # The quicker of nextpnr's routers where a design is large.
    options += ["--router", "router2"]
    if speed_grade:
        options += ["--speed", speed_grade]
    if part.family.name == "ecp5":
        options += ["--lpf-allow-unconstrained"]
    else:
        options += ["--pcf-allow-unconstrained"]
    # The clock that is reached is what was asked for, be it lower than the target.
    return [*options, "--timing-allow-fail"]


def place(netlist, part, *, speed_grade, seed, target_hz):
    """Place, route and pack.

    Parameters
    ----------
    netlist : str
        As Yosys writes it, JSON.
    part : Part
    speed_grade : str
    seed : int
    target_hz : float

    Returns
    -------
    Placement

    Raises
    ------
    ToolError
        If it does not fit.
    """
    family = part.family
    options = arguments(part, speed_grade=speed_grade, seed=seed, target_hz=target_hz)
    with tempfile.TemporaryDirectory(prefix="hwsim-") as directory:
        folder = Path(directory)
        (folder / "netlist.json").write_text(netlist)
        routed = ["--textcfg", "routed"] if family.name == "ecp5" else ["--asc", "routed"]
        files = ["--json", "netlist.json", "--report", "report.json", "--detailed-timing-report"]
        files += routed
        log = find(family.place).run([*options, *files], folder)
        find(family.pack).run(["routed", "bitstream"], folder)
        found = json.loads((folder / "report.json").read_text())
        bitstream = (folder / "bitstream").read_bytes()
    # What arrives when at each pin of each net, by far most of the report.
    nets = found.pop("detailed_net_timings", [])
    clocks = found["fmax"].values()
    if not clocks:
        raise ToolError(family.place, "ERROR: no path between registers")
    return Placement(
        fmax_hz=1e6 * min(clock["achieved"] for clock in clocks),
        path=critical_path(found),
        slowest=slowest(nets),
        utilization={
            kind: (entry["used"], entry["available"])
            for kind, entry in found["utilization"].items()
            if entry["used"]
        },
        bitstream=bitstream,
        report=json.dumps(found, indent=1),
        log=log,
    )


def critical_path(report):
    """The slowest path from register to register of nextpnr's report; None if there is none."""
    paths = [
        path
        for path in report["critical_paths"]
        if path["from"] == path["to"] and path["from"] != "<async>" and path["path"]
    ]
    if not paths:
        return None
    return timing_path(max(paths, key=lambda path: sum(s["delay"] for s in path["path"]))["path"])


def timing_path(segments):
    """A `TimingPath` of the segments that nextpnr lists."""
    steps = tuple(
        Step(
            segment["type"].replace("source", "clk-to-q"),
            segment["delay"] * 1e-9,
            signal(segment.get("net") or segment["to"]["cell"]),
            segment["to"]["cell"],
        )
        for segment in segments
    )
    first, last = segments[0]["from"]["cell"], segments[-1]["to"]["cell"]
    routing = sum(step.delay_s for step in steps if step.kind == "routing")
    total = sum(step.delay_s for step in steps)
    return TimingPath(
        source=signal(first),
        sink=signal(last),
        source_unit=unit_of(first),
        sink_unit=unit_of(last),
        delay_s=total,
        logic_s=total - routing,
        routing_s=routing,
        steps=steps,
    )


def slowest(nets):
    """`Placement.slowest` of the nets in nextpnr's report."""
    found: dict[str, tuple[str, str, float]] = {}
    for net in nets:
        for end in net["endpoints"]:
            unit = unit_of(end["cell"])
            if "<async>" in (net["event"], end["event"]) or unit == "wrapper":
                continue
            name, delay = signal(end["cell"]), end["delay"][1] * 1e-9
            if name not in found or delay > found[name][2]:
                found[name] = (name, unit, delay)
    return tuple(sorted(found.values(), key=lambda entry: (-entry[2], entry[0])))


# Yosys names a cell after a signal at one of its pins and the pin, again and again:
# mac.sum_0_4_0_TRELLIS_FF_Q_13_DI_CCU2C_S1_A0_LUT4_Z. Cells of memories end in numbers.
_CELL = re.compile(
    r"_(?:TRELLIS_FF|TRELLIS_DPR16X4|LUT4|CCU2C|PFUMX|L6MUX21|MULT18X18D|DP16KD|PDPW16KD"
    r"|SB_[A-Z0-9]+)(?:_.*)?$"
)
_PART = re.compile(r"\$(?:nextpnr|COMB|FF|DP16KD|RAMW|ALU|lut|PACKER|ff|comb|CARRY).*$", re.I)
_MEMORY_CELL = re.compile(r"(?:\.\d+)+(?:_(?:DO|RDATA|DI|AD|WDATA)\w*)?$")


def signal(name):
    """The signal, or the memory, of the design that a cell or a net is named after."""
    name = _CELL.sub("", _PART.sub("", name))
    return _MEMORY_CELL.sub("", plain(re.sub(r"\[\d+\]$", "", name)))
