"""What synthesis gives, as an object."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from hwsim.files import write_files
from hwsim.rtl.verilog import Verilog

from .count import count
from .netlist import Netlist
from .parts import Part
from .place import Placement
from .project import project_files

__all__ = ["Synthesis"]


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A design on a part.

    Members
    -------
    part : Part
    verilog : Verilog
        Of the design.
    netlist : Netlist
    placement : Placement or None
        None where the family is synthesized only, where nothing was to be placed, and where the
        design does not fit.
    problems : tuple of str
        Why it does not fit; empty if it does, as far as is known.
    speed_grade : str
        Empty where the part has only one.
    seed : int
    target_hz : float
    tools : dict of str to str
        Version of each tool.
    lut, ff, dsp, bram, carry : int
        What the design takes by itself, without the pins' wrapper; see ``docs/synthesis.md`` for
        what counts as one.
    fmax_hz : float or None
        The fastest clock.
    critical_path : TimingPath or None
    """

    part: Part
    verilog: Verilog = field(repr=False)
    netlist: Netlist = field(repr=False)
    placement: Placement | None = field(repr=False)
    problems: tuple[str, ...]
    speed_grade: str
    seed: int
    target_hz: float
    tools: dict[str, str]

    @cached_property
    def _counts(self):
        return count(self.netlist.cells, self.part.family)

    @property
    def lut(self):
        """Look-up tables, those that carry chains and distributed RAM take included."""
        return self._counts["lut"]

    @property
    def ff(self):
        """Flip-flops."""
        return self._counts["ff"]

    @property
    def dsp(self):
        """Multiplier blocks."""
        return self._counts["dsp"]

    @property
    def bram(self):
        """Block RAMs."""
        return self._counts["bram"]

    @property
    def carry(self):
        """Carry cells."""
        return self._counts["carry"]

    @property
    def fits(self):
        """Whether nothing says that the part is too small."""
        return not self.problems

    @property
    def fmax_hz(self):
        """The fastest clock; None if nothing was placed."""
        return self.placement and self.placement.fmax_hz

    @property
    def critical_path(self):
        """The slowest path; None if nothing was placed."""
        return self.placement and self.placement.path

    @property
    def warnings(self):
        """What of the mapping is not as one would want it."""
        return self.netlist.warnings

    @property
    def frame(self):
        """A DataFrame with a row for each part of the design: ``unit, lut, ff, dsp, bram, carry``.

        Logic that serves two parts is counted with one of them.
        """
        rows = [
            {"unit": unit, **count(cells, self.part.family)}
            for unit, cells in self.netlist.units.items()
        ]
        return pd.DataFrame(rows)

    @property
    def timing(self):
        """A DataFrame with the slowest path to each register or memory, the slowest first.

        Columns are ``register, unit, delay_s``; it is empty if nothing was placed.
        """
        rows = self.placement.slowest if self.placement else ()
        return pd.DataFrame(rows, columns=["register", "unit", "delay_s"])

    @property
    def memories(self):
        """A DataFrame with a row for each memory: ``memory, width, depth, written, place``."""
        return pd.DataFrame(
            [
                {
                    "memory": memory.name,
                    "width": memory.width,
                    "depth": memory.depth,
                    "written": memory.written,
                    "place": memory.place,
                }
                for memory in self.netlist.memories
            ]
        )

    def to_dict(self):
        """All of it as what JSON knows; units stand in the names."""
        path = self.critical_path
        return {
            "part": self.part.name,
            "family": self.part.family.name,
            "top": self.verilog.top,
            "lut": self.lut,
            "ff": self.ff,
            "dsp": self.dsp,
            "bram": self.bram,
            "carry": self.carry,
            "available": self.part.available,
            "fits": self.fits,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "fmax_hz": self.fmax_hz,
            "target_hz": self.target_hz,
            "critical_path": path
            and {
                "source": path.source,
                "sink": path.sink,
                "source_unit": path.source_unit,
                "sink_unit": path.sink_unit,
                "delay_s": path.delay_s,
                "logic_s": path.logic_s,
                "routing_s": path.routing_s,
                "steps": [
                    {"kind": step.kind, "delay_s": step.delay_s, "where": step.where}
                    for step in path.steps
                ],
            },
            "slowest": self.timing.groupby("unit", sort=False).head(1).to_dict("records"),
            "utilization": {
                kind: {"used": used, "available": available}
                for kind, (used, available) in (
                    self.placement.utilization if self.placement else {}
                ).items()
            },
            "cells": self.netlist.cells,
            "units": self.frame.to_dict("records"),
            "memories": self.memories.to_dict("records"),
            "speed_grade": self.speed_grade,
            "seed": self.seed,
            "tools": self.tools,
        }

    def write(self, directory):
        """Write Verilog, wrapper, reports, bitstream, FuseSoC core, Vivado Tcl and constraints.

        Returns
        -------
        list of Path
        """
        top = self.verilog.top
        files: dict[str, str | bytes] = {
            **self.verilog.files,
            **project_files(self.verilog, self.part, self.target_hz, self.speed_grade, self.seed),
            f"{top}_synthesis.json": json.dumps(self.to_dict(), indent=2) + "\n",
        }
        if self.placement is not None:
            suffix = "bit" if self.part.family.name == "ecp5" else "bin"
            files[f"{top}.{suffix}"] = self.placement.bitstream
            files[f"{top}_nextpnr.json"] = self.placement.report
            files[f"{top}_nextpnr.log"] = self.placement.log
        return write_files(Path(directory), files)
