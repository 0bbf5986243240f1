"""FPGA parts: which tools take a netlist how far, and by which arguments."""

from dataclasses import dataclass
from typing import Any

from hwsim.models import devices

__all__ = ["FAMILIES", "Family", "Part", "load", "names"]


@dataclass(frozen=True)
class Family:
    """What the parts of a family share.

    Members
    -------
    name, title : str
    synthesis : str
        Command of Yosys, without the top.
    luts, flip_flops, dsps, block_rams, carries : dict of str to int
        For each type of cell how many of what the name says it takes.
    place : str
        Tool that places and routes; empty where none does.
    pack : str
        Tool that makes the bitstream.
    memory_step : str
        Label of the synthesis command from which on memories are mapped.
    speed_grades : tuple of str
    """

    name: str
    title: str
    synthesis: str
    luts: dict[str, int]
    flip_flops: dict[str, int]
    dsps: dict[str, int]
    block_rams: dict[str, int]
    carries: dict[str, int]
    memory_step: str = "map_ram"
    place: str = ""
    pack: str = ""
    speed_grades: tuple[str, ...] = ()


_XILINX: dict[str, Any] = dict(
    memory_step="map_memory",
    luts={f"LUT{k}": 1 for k in range(1, 7)}
    # Distributed RAM and shift registers lie in look-up tables.
    | {"RAM32X1S": 1, "RAM64X1S": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1S": 2}
    | {"RAM128X1D": 4, "RAM256X1S": 4, "RAM256X1D": 8, "RAM32M": 4, "RAM64M": 4}
    | {"RAM32M16": 8, "RAM64M8": 8, "RAM64X8SW": 8, "RAM32X16DR8": 8, "RAM512X1S": 8}
    | {"SRL16": 1, "SRL16E": 1, "SRLC16": 1, "SRLC16E": 1, "SRLC32E": 1},
    flip_flops={name: 1 for name in ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1")},
    # Block RAM is counted in blocks of 18 Kb, as in the catalog of devices.
    block_rams={"RAMB18E1": 1, "RAMB36E1": 2, "RAMB18E2": 1, "RAMB36E2": 2},
    carries={"CARRY4": 1, "CARRY8": 1},
)
FAMILIES = {
    "ecp5": Family(
        name="ecp5",
        title="Lattice ECP5",
        synthesis="synth_ecp5",
        # A site of a look-up table each (TRELLIS_COMB): two for the two bits of a carry cell, four
        # for the bits of a distributed RAM and two for its write port.
        luts={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        flip_flops={"TRELLIS_FF": 1},
        dsps={"MULT18X18D": 1},
        block_rams={"DP16KD": 1, "PDPW16KD": 1},
        carries={"CCU2C": 1},
        place="nextpnr-ecp5",
        pack="ecppack",
        speed_grades=("6", "7", "8"),
    ),
    "ice40": Family(
        name="ice40",
        title="Lattice iCE40",
        synthesis="synth_ice40 -dsp",
        luts={"SB_LUT4": 1},
        flip_flops={
            f"SB_DFF{edge}{enable}{reset}": 1
            for edge in ("", "N")
            for enable in ("", "E")
            for reset in ("", "R", "S", "SR", "SS")
        },
        dsps={"SB_MAC16": 1},
        block_rams={f"SB_RAM40_4K{kind}": 1 for kind in ("", "NR", "NW", "NRNW")},
        carries={"SB_CARRY": 1},
        place="nextpnr-ice40",
        pack="icepack",
    ),
    "xc7": Family(
        name="xc7",
        title="AMD Xilinx 7 series",
        synthesis="synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
        dsps={"DSP48E1": 1},
        **_XILINX,
    ),
    "xcup": Family(
        name="xcup",
        title="AMD Xilinx UltraScale+",
        synthesis="synth_xilinx -family xcup -flatten -noiopad -noclkbuf",
        dsps={"DSP48E2": 1},
        **_XILINX,
    ),
}


@dataclass(frozen=True)
class Part:
    """A device of the catalog, for synthesis.

    Members
    -------
    name, title : str
    family : Family
    place_options : tuple of str
        That name the part to the tool that places and routes.
    vendor_part : str
        The part's name in the vendor's tools, with package and speed grade.
    available : dict of str to int
        ``lut``, ``ff``, ``dsp``, ``bram``, as far as the catalog knows them.
    """

    name: str
    title: str
    family: Family
    place_options: tuple[str, ...]
    vendor_part: str
    available: dict[str, int]


# Name -> (family, options of nextpnr, part in the vendor's tools).
_PARTS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "ecp5-25f": ("ecp5", ("--25k", "--package", "CABGA381"), "LFE5U-25F-{speed}BG381C"),
    "ecp5-45f": ("ecp5", ("--45k", "--package", "CABGA381"), "LFE5U-45F-{speed}BG381C"),
    "ecp5-85f": ("ecp5", ("--85k", "--package", "CABGA381"), "LFE5U-85F-{speed}BG381C"),
    "ice40up5k": ("ice40", ("--up5k", "--package", "sg48"), "iCE40UP5K-SG48"),
    "zynq-7020": ("xc7", (), "xc7z020clg400-1"),
    "vx485t": ("xc7", (), "xc7vx485tffg1761-2"),
    "zu3eg": ("xcup", (), "xczu3eg-sbva484-1-e"),
    "zu7ev": ("xcup", (), "xczu7ev-ffvc1156-2-e"),
    "zu9eg": ("xcup", (), "xczu9eg-ffvb1156-2-e"),
    "alveo-u250": ("xcup", (), "xcu250-figd2104-2L-e"),
}
_RESOURCES = {"lut": "luts", "ff": "flip_flops", "dsp": "dsps", "bram": "block_rams"}


def names() -> tuple[str, ...]:
    """Names of the parts."""
    return tuple(_PARTS)


def load(name: str) -> Part:
    """The part of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in _PARTS:
        raise ValueError(f"unknown part '{name}': parts are {', '.join(_PARTS)}")
    family, options, vendor_part = _PARTS[name]
    device = devices.load(name)
    available = {
        key: int(device[quantity]) for key, quantity in _RESOURCES.items() if quantity in device
    }
    return Part(name, device.title, FAMILIES[family], options, vendor_part, available)
