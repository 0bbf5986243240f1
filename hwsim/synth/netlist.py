"""From Verilog to a netlist of a family's cells by Yosys, and what it counts."""

import json
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .absorb import absorb
from .replicate import replicate
from .tools import find
from .wrapper import DESIGN, wrapper

__all__ = ["Memory", "Netlist", "synthesize_netlist"]

# A memory that nobody writes is a table; above so many bits it is said that it lies in logic.
_LARGE_TABLE = 1 << 14
# Words of the longest delay line that Yosys may put in distributed RAM.
RING_IN_LOGIC = 32
_RING = re.compile(r"^ *reg (?:\[\d+:0\] )?ring \[0:(\d+)\];", re.M)
_KINDS = (
    (re.compile(r"DP16KD|PDPW16KD|RAMB|BLOCK|ICE40_RAM|SB_RAM"), "block RAM"),
    (re.compile(r"DPR16X4|RAM(16|32|64|128|256|512)|LUTRAM|XILINX_LUT"), "distributed RAM"),
    (re.compile(r"URAM|HUGE"), "UltraRAM"),
    (re.compile(r"SPRAM"), "SPRAM"),
)


@dataclass(frozen=True)
class Memory:
    """A memory of the design.

    Members
    -------
    name : str
        Path of instances, without the top.
    width, depth : int
    written : bool
        Whether it can be written; a table cannot.
    place : str
        "block RAM", "distributed RAM", "logic" (a table), "flip-flops", or another kind of RAM.
    """

    name: str
    width: int
    depth: int
    written: bool
    place: str

    @property
    def bits(self):
        """Its size."""
        return self.width * self.depth


@dataclass(frozen=True)
class Netlist:
    """What synthesis found.

    Members
    -------
    cells : dict of str to int
        Cells of the design, by type.
    units : dict of str to dict
        The same for each part of the design: a unit of a pipeline, or a part of an accelerator.
    memories : tuple of Memory
    text : str
        Of the wrapper with the design in it, as JSON for place and route; empty where there is
        none.
    """

    cells: dict[str, int]
    units: dict[str, dict[str, int]]
    memories: tuple[Memory, ...]
    text: str

    @property
    def warnings(self):
        """What of the mapping is not as one would want it."""
        found = []
        for memory in self.memories:
            size = f"{memory.depth:,} x {memory.width} bits"
            if memory.place == "flip-flops" and memory.depth > 2:
                found.append(f"memory {memory.name} ({size}) lies in flip-flops")
            elif memory.place == "logic" and memory.bits > _LARGE_TABLE:
                found.append(f"table {memory.name} ({size}) lies in look-up tables")
        return tuple(found)


def script(verilog, family):
    """The commands for Yosys."""
    top, _ = wrapper(verilog)
    synthesis = f"{family.synthesis} -top {top}"
    sources = " ".join(name for name in verilog.files if name.endswith(".v"))
    # Delay lines in distributed RAM are slow when they are long: the memory's output is chosen from
    # several.
    long = [
        f"{name.removesuffix('.v')}/m:ring"
        for name, text in verilog.files.items()
        if (depth := _RING.search(text)) and int(depth[1]) >= RING_IN_LOGIC
    ]
    # The border of the design stays until all is counted: within it nothing is changed by what the
    # wrapper does.
    commands = [
        f"read_verilog {sources} {top}.v",
        f"hierarchy -check -top {top}",
        f"setattr -mod -set keep_hierarchy 1 {verilog.top}",
        # Delay lines and queues never read what they write at the same time: no logic for that.
        "setattr -set no_rw_check 1 */m:ring */m:storage",
        *(['setattr -set ram_style "block" ' + " ".join(long)] if long else []),
        f"{synthesis} -run :{family.memory_step}",
        "dump -o memories.il t:$mem_v2",
        f"{synthesis} -run {family.memory_step}:",
        "tee -q -o stat.json stat -json",
        f"setattr -mod -unset keep_hierarchy {verilog.top}",
        "flatten",
        "clean",
        "write_json netlist.json",
    ]
    return "\n".join(commands) + "\n"


def synthesize_netlist(verilog, family):
    """Run Yosys on a `hwsim.rtl.verilog.Verilog`.

    Returns
    -------
    Netlist
    """
    name, text = wrapper(verilog)
    with tempfile.TemporaryDirectory(prefix="hwsim-") as directory:
        folder = Path(directory)
        for file, content in {**verilog.files, f"{name}.v": text}.items():
            (folder / file).write_text(content)
        (folder / "script.ys").write_text(script(verilog, family))
        log = find("yosys").run(["-Q", "-T", "-s", "script.ys"], folder)
        statistics = json.loads((folder / "stat.json").read_text())
        dumped = (folder / "memories.il").read_text()
        netlist = (folder / "netlist.json").read_text()
    found = statistics["modules"]["\\" + verilog.top]["num_cells_by_type"]
    cells = {kind: count for kind, count in found.items() if not kind.startswith("$")}
    if family.name == "ecp5":
        flat = json.loads(netlist)
        gone = absorb(flat["modules"][name]["cells"])
        copies = replicate(flat["modules"][name]["cells"])
        cells["TRELLIS_FF"] = cells.get("TRELLIS_FF", 0) - len(gone) + len(copies)
        netlist = json.dumps(flat)
    units = _units(json.loads(netlist)["modules"][name]["cells"])
    memories = _memories(dumped, log, verilog.top)
    return Netlist(cells, units, memories, netlist if family.place else "")


_MEMORY = re.compile(r"^  cell \$mem_v2 (\S+)\n(.*?)^  end$", re.M | re.S)
_PARAMETER = re.compile(
    r"^    parameter (?:signed )?\\(\w+) (?:\d+'([01]+)|(-?\d+)|\"(.*?)\")", re.M
)
_MAPPED = re.compile(r"^mapping memory (\S+) via (\S+)$", re.M)
_IN_LOGIC = re.compile(r"^using FF mapping for memory (\S+)$", re.M)


def _memories(dumped, log, top):
    places = {}
    for name, via in _MAPPED.findall(log):
        places[name] = next((kind for pattern, kind in _KINDS if pattern.search(via)), via)
    in_logic = set(_IN_LOGIC.findall(log))
    memories = []
    for _, body in _MEMORY.findall(dumped):
        numbers, texts = {}, {}
        for name, bits, number, text in _PARAMETER.findall(body):
            if bits or number:
                numbers[name] = int(bits, 2) if bits else int(number)
            else:
                texts[name] = text
        name = texts["MEMID"].lstrip("\\")
        full = f"{top}.{name}"
        written = numbers["WR_PORTS"] > 0
        place = places.get(full, "flip-flops" if written and full in in_logic else "logic")
        memories.append(Memory(plain(name), numbers["WIDTH"], numbers["SIZE"], written, place))
    return tuple(sorted(memories, key=lambda memory: memory.name))


def plain(name):
    """The path of something inside the design, as its reader knows it."""
    return name.removeprefix(f"{DESIGN}.").removeprefix("pipeline.").removeprefix("accelerator.")


def unit_of(name):
    """The part of the design that a cell or net belongs to; "wrapper" if to none."""
    if not name.startswith(f"{DESIGN}."):
        return "wrapper"
    inner = name.removeprefix(f"{DESIGN}.")
    path = plain(name)
    # What is not inside of the pipeline is the top's own.
    return path.partition(".")[0] if "." in path and path != inner else "top"


def _units(cells):
    units: dict[str, Counter] = {}
    for name, cell in cells.items():
        unit = unit_of(name)
        if cell["type"].startswith("$") or unit == "wrapper":
            continue
        units.setdefault(unit, Counter())[cell["type"]] += 1
    return {unit: dict(counts) for unit, counts in sorted(units.items())}
