"""Programs on disk: found again, never half, never another one's."""

import os
import pickle
import signal
import stat
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.sim.compiled import cache, program
from hwsim.sim.compiled.program import compile_rtlil


class _Step(wiring.Component):
    def __init__(self, step=1):
        self._step = step
        super().__init__({"i": In(8), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.o + self.i + self._step)
        return m


def _text(step=1):
    return rtlil.convert(_Step(step), name="top", emit_src=False)


TEXT = _text()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    where = tmp_path / "kept" / "programs"
    monkeypatch.setenv("HWSIM_CACHE", str(where))
    return where


@pytest.fixture
def compiled(monkeypatch):
    """How often a graph was compiled: a list that grows."""
    calls = []
    real = program.compile_graph

    def counted(*args, **options):
        calls.append(options)
        return real(*args, **options)

    monkeypatch.setattr(program, "compile_graph", counted)
    return calls


def _compile(text=TEXT, **options):
    return compile_rtlil(text, "\\top", **options)


def _works(found, step=1):
    simulation = found.simulation()
    simulation.poke("i", 2)
    simulation.run(3)
    return simulation.peek("o") == 3 * (2 + step)


def test_second_time_without_the_compiler(folder, compiled, monkeypatch):
    first = _compile()
    (file,) = folder.iterdir()
    content = file.read_bytes()
    second = _compile()
    assert len(compiled) == 1
    assert second.to_bytes() == first.to_bytes()
    assert _works(first) and _works(second)
    assert file.read_bytes() == content and len([*folder.iterdir()]) == 1
    monkeypatch.setattr(program, "compile_graph", None)
    monkeypatch.setattr("hwsim.sim.compiled.frontend.graph_of_rtlil", None)
    assert _works(_compile())


def test_what_makes_another_program(folder, compiled, monkeypatch):
    variants = [
        {},
        {"lanes": 2},
        {"lanes": 3},
        {"observe": "all"},
        {"observe": ["o"]},
        {"observe": ["i"]},
        {"uniform": ["i"]},
        {"lanes": 2, "uniform": ["i"]},
        {"text": _text(2)},
        {"text": TEXT + "\n"},
    ]
    for number, options in enumerate(variants, 1):
        for _ in range(2):
            _compile(**options)
            assert len(compiled) == number == len([*folder.iterdir()]), options
    assert _works(_compile(_text(2)), 2) and _works(_compile())
    _compile(observe=("o",))
    _compile(uniform={"i"})
    assert len(compiled) == len(variants)
    # Of another compiler, on another machine, with another version.
    for number, (name, value) in enumerate(
        [
            ("hwsim.sim.compiled.program._revision", lambda: "x"),
            ("hwsim.sim.compiled.program.__version__", "x"),
            ("hwsim.sim.compiled.machine.cpu", lambda: ("x", "y")),
            ("llvmlite.__version__", "x"),
        ],
        len(variants) + 1,
    ):
        monkeypatch.setattr(name, value)
        with monkeypatch.context() as patch:
            patch.setattr("hwsim.sim.compiled.machine.object_code", lambda text: b"")
            _compile()
        assert len(compiled) == number == len([*folder.iterdir()]), name


def test_digest():
    names = [cache.digest(*parts) for parts in ((), ("",), ("ab", "c"), ("a", "bc"), ("abc",))]
    assert len(set(names)) == 5
    assert all(len(name) == 64 and int(name, 16) >= 0 for name in names)
    assert cache.digest("ab", "c") == names[2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
        lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
        lambda data: b"hwsim program 0\n" + data[16:],
        lambda data: data[:20] + bytes([data[20] ^ 128]) + data[21:],
    ],
    ids=["empty", "magic", "head", "short", "long", "zeros", "bit", "version", "digest"],
)
def test_damaged_file(damage, folder, compiled):
    first = _compile()
    (file,) = folder.iterdir()
    data = file.read_bytes()
    file.write_bytes(damage(data))
    assert cache.load(file.name) is None
    second = _compile()
    assert len(compiled) == 2 and second.to_bytes() == first.to_bytes() and _works(second)
    # It is whole again.
    assert file.read_bytes() == data
    _compile()
    assert len(compiled) == 2


def test_off(folder, compiled, monkeypatch, tmp_path):
    monkeypatch.setenv("HWSIM_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() is None
    assert _works(_compile()) and _works(_compile())
    assert len(compiled) == 2
    assert [*tmp_path.iterdir()] == []


def test_folder(monkeypatch, tmp_path):
    assert cache.folder() == tmp_path / "kept" / "programs"
    monkeypatch.delenv("HWSIM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder() == tmp_path / ".cache" / "hwsim" / "programs"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "hwsim" / "programs"


def test_user_without_a_home(monkeypatch, compiled):
    """As in a container whose user has no entry in the list of users."""

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HWSIM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert _works(_compile()) and len(compiled) == 1


@pytest.mark.parametrize("kind", ["below a file", "a file", "cannot be made", "file is a folder"])
def test_folder_that_cannot_be_used(kind, folder, compiled, monkeypatch, tmp_path):
    if kind == "file is a folder":
        _compile()
        (file,) = folder.iterdir()
        file.unlink()
        (file / "x").mkdir(parents=True)
        compiled.clear()
    else:
        file = tmp_path / "file"
        file.write_text("mine")
        target = {"below a file": file / "sub", "a file": file, "cannot be made": "/proc/nope/x"}
        monkeypatch.setenv("HWSIM_CACHE", str(target[kind]))
    assert _works(_compile()) and _works(_compile())
    assert len(compiled) == 2
    if kind == "file is a folder":
        assert [path.name for path in folder.iterdir()] == [file.name]
    else:
        assert file.read_text() == "mine"


def test_full_disk(folder, compiled, monkeypatch):
    def fails(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    assert _works(_compile())
    assert [*folder.iterdir()] == []


def test_rights(folder):
    old = os.umask(0)
    try:
        _compile()
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_folder_that_others_can_write_to(folder, compiled):
    """What lies there is code: it could be anybody's."""
    _compile()
    folder.chmod(0o722)
    assert _works(_compile()) and len(compiled) == 2
    folder.chmod(0o755)
    assert _works(_compile()) and len(compiled) == 2


def test_folder_of_somebody_else(folder, compiled, monkeypatch):
    _compile()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert _works(_compile()) and len(compiled) == 2


# Several processes


def _fork(work):
    """Start ``work`` in a process; gives a function that waits and gives its result or signal."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        signal.alarm(60)
        try:
            result = work()
        except BaseException as error:
            result = repr(error)
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)

    def wait():
        with os.fdopen(reader, "rb") as file:
            data = file.read()
        _, status = os.waitpid(process, 0)
        return pickle.loads(data) if data else -os.WTERMSIG(status)

    return wait


def test_processes_at_once(folder, monkeypatch):
    reader, writer = os.pipe()

    def work():
        os.close(writer)
        os.read(reader, 1)  # Until the other end is closed.
        return [_works(_compile(lanes=1)) for _ in range(3)] + [_compile().to_bytes()]

    waits = [_fork(work) for _ in range(4)]
    os.close(reader)
    os.close(writer)
    results = [wait() for wait in waits]
    assert [result[:3] for result in results] == [[True] * 3] * 4
    (file,) = folder.iterdir()
    monkeypatch.setattr(program, "compile_graph", None)
    assert _compile().to_bytes() == results[0][3]
    assert cache.load(file.name) is not None


@pytest.mark.parametrize("moment", ["half", "before the name"])
def test_killed_while_it_writes(moment, folder, compiled):
    def work():
        if moment == "half":
            real = os.fdopen

            def half(*args):
                file = real(*args)

                class _Half:
                    def __enter__(self):
                        return self

                    def __exit__(self, *error):
                        pass

                    def write(self, data):
                        file.write(data[: len(data) // 2])
                        file.flush()
                        os.kill(os.getpid(), signal.SIGKILL)

                return _Half()

            os.fdopen = half
        else:
            os.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        _compile()

    assert _fork(work)() == -signal.SIGKILL
    (rest,) = folder.iterdir()
    assert rest.stat().st_size > 1000
    assert _works(_compile()) and len(compiled) == 1
    assert _works(_compile()) and len(compiled) == 1
    (file,) = set(folder.iterdir()) - {rest}
    assert file.name.startswith(rest.name.split(".")[0]) and "." not in file.name
