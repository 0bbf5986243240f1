"""Imports go downward only: cli -> reports -> validation -> sim, synth -> rtl, models ->
compiler -> blocks -> network."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hwsim"

# A part may import what stands in a lower line, and itself.
LEVELS = [
    {"cache", "files", "version"},
    {"network", "data", "images"},
    {"networks"},
    {"blocks"},
    {"compiler"},
    {"rtl", "models"},
    {"formal", "onnx_backend", "sim", "synth"},
    {"explore", "filters", "validation"},
    {"reports"},
    {"terminal"},
    {"tables"},
    {"demo"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
# The command calls the public API by its public names.
MAY_IMPORT_THE_PUBLIC_API = {"cli", "demo"}


def module_name(path, root):
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path, root):
    """Dotted names of everything that a file imports, wherever in the file that stands."""
    package = module_name(path, root).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def part_of(name):
    """``hwsim.rtl.queue`` -> ``rtl``; None for what is not of the package."""
    parts = name.split(".")
    if parts[0] != "hwsim":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else "__init__"


def upward_imports(root):
    for path in sorted(root.rglob("*.py")):
        here = path.relative_to(root).with_suffix("").parts[0]
        for name in imported(path, root):
            there = part_of(name)
            if there is None or there == here:
                continue
            if there == "__init__" and here in MAY_IMPORT_THE_PUBLIC_API:
                continue
            if LEVEL[there] >= LEVEL[here]:
                yield f"{path.relative_to(root)} imports {name}"


def test_every_part_has_a_level():
    parts = {path.stem for path in PACKAGE.glob("*.py")}
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts <= LEVEL.keys()


def test_imports_go_downward():
    assert list(upward_imports(PACKAGE)) == []


def test_an_upward_import_is_found(tmp_path):
    root = tmp_path / "hwsim"
    for part in ("network", "rtl"):
        (root / part).mkdir(parents=True)
    (root / "network" / "a.py").write_text("def f():\n    from ..rtl import b\n")
    (root / "rtl" / "b.py").write_text("from hwsim.network import a\nfrom hwsim import load\n")
    assert list(upward_imports(root)) == [
        "network/a.py imports hwsim.rtl.b",
        "rtl/b.py imports hwsim.load",
    ]


@pytest.mark.parametrize(
    ("part", "foreign"), [("models", "amaranth"), ("blocks", "amaranth"), ("rtl", "simpy")]
)
def test_part_does_not_import(part, foreign):
    offenders = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in sorted((PACKAGE / part).rglob("*.py"))
        for name in imported(path, PACKAGE)
        if name.split(".")[0] == foreign
    ]
    assert offenders == []


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("hwsim.models.dataflow", {"amaranth"}),
        ("hwsim.models.devices", {"amaranth"}),
        ("hwsim.models.reference", {"amaranth", "simpy"}),
        ("hwsim.rtl", {"simpy"}),
        # What `hwsim --help` loads: nothing that takes long.
        ("hwsim.cli", {"amaranth", "numpy", "onnx", "onnxruntime", "pandas", "plotly", "simpy"}),
    ],
)
def test_import_does_not_load(module, foreign):
    code = f"import sys, {module}; print(*sorted({foreign!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
