import io
import re
import shutil
import subprocess

import numpy as np
import pytest
import vcd.reader

from hwsim.sim.waves import Trace, fst, trace, write_wave
from hwsim.sim.waves import vcd as vcd_format

needs_fst2vcd = pytest.mark.skipif(shutil.which("fst2vcd") is None, reason="fst2vcd is missing")


class Wave:
    """A VCD file: codes and sizes of variables by path, and changes by code."""

    def __init__(self, text):
        words = iter(text.split())
        self.variables = {}
        self.types = {}
        self.times = []
        self.changes = {}
        self.header = {}
        scopes = []
        for word in words:
            if word == "$scope":
                assert next(words) == "module"
                scopes.append(next(words))
                assert next(words) == "$end"
            elif word == "$upscope":
                scopes.pop()
                assert next(words) == "$end"
            elif word == "$var":
                kind, size, code, *name = iter(words.__next__, "$end")
                path = (*scopes, name[0])
                assert path not in self.variables
                assert name[1:] == ([f"[{int(size) - 1}:0]"] if int(size) > 1 else [])
                self.variables[path] = code
                self.types[path] = kind, int(size)
            elif word in ("$dumpvars", "$end"):
                pass
            elif word.startswith("$"):
                self.header[word] = " ".join(iter(words.__next__, "$end"))
            elif word.startswith("#"):
                self.times.append(int(word[1:]))
            elif word[0] in "01":
                self._change(word[1:], int(word[0]))
            elif word[0] == "b":
                self._change(next(words), int(word[1:], 2))
            elif word[0] == "s":
                self._change(next(words), word[1:])
            else:
                raise AssertionError(word)
        assert scopes == []
        assert self.times == sorted(set(self.times))

    def _change(self, code, value):
        self.changes.setdefault(code, []).append((self.times[-1], value))

    def values(self, path, times):
        """Of a variable at some times."""
        changes = self.changes[self.variables[path]]
        when = np.array([time for time, _ in changes])
        return [changes[i][1] for i in np.searchsorted(when, times, side="right") - 1]


def read(path):
    return Wave(path.read_text(encoding="ascii"))


def fst2vcd(path, *options):
    """What the reader of GTKWave finds in an FST file, as VCD."""
    target = path.with_suffix(".from_fst")
    command = ["fst2vcd", *options, "-f", path, "-o", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return target.read_text(encoding="ascii")


def container(width):
    return f"u{next(size for size in (1, 2, 4, 8) if size * 8 >= width)}"


def random_values(rng, width, cycles, activity):
    """Values that change in some cycles, with extremes, and as integers."""
    words = -(-width // 64)
    values = rng.integers(0, 1 << 64, (cycles, words), dtype=np.uint64, endpoint=False)
    values[rng.random(cycles) < 0.2] = 0
    values[rng.random(cycles) < 0.2] = (1 << 64) - 1
    values[:, -1] &= np.uint64((1 << (width - 64 * (words - 1))) - 1)
    kept = np.where(rng.random(cycles) < activity, np.arange(cycles), 0)
    values = values[np.maximum.accumulate(kept)]
    integers = [int.from_bytes(row.astype("<u8").tobytes(), "little") for row in values]
    return (values if words > 1 else values[:, 0].astype(container(width))), integers


def random_traces(seed, cycles):
    rng = np.random.default_rng(seed)
    widths = [1, 1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65, 128, 129, 200]
    widths += rng.integers(1, 200, 10).tolist()
    scopes = [("top",), ("top", "a"), ("top", "a", "b"), ("top", "c")]
    traces, expected = [], {}
    for number, width in enumerate(rng.permutation(widths).tolist()):
        values, integers = random_values(rng, width, cycles, rng.choice([0, 0.02, 0.3, 1]))
        path = (*scopes[rng.integers(len(scopes))], f"s{number}")
        traces.append(Trace(path, width, values))
        expected[path] = integers
        if rng.random() < 0.2:
            # Another name of the same signal.
            path = (*scopes[rng.integers(len(scopes))], f"t{number}")
            traces.append(Trace(path, width, values))
            expected[path] = integers
    # The same changes as those of another signal, in another array.
    path = ("top", "a", "copy")
    traces.append(Trace(path, traces[5].width, traces[5].values.copy()))
    expected[path] = expected[traces[5].path]
    return traces, expected


@pytest.fixture
def small_blocks(monkeypatch):
    """Let files be made of many blocks."""
    monkeypatch.setattr(fst, "_MOST_BYTES", 20_000)
    monkeypatch.setattr(vcd_format, "_MOST_CHANGES", 1_000)


def check(wave, expected, *, first_cycle=0, period=10_000, clock=("top", "clk")):
    cycles = len(next(iter(expected.values())))
    rises = (np.arange(cycles) + first_cycle) * period
    assert wave.header["$timescale"].replace(" ", "") == "1ps"
    assert wave.times[0] == rises[0]
    assert wave.times[-1] == rises[-1] + period
    if clock is not None:
        expected = {**expected, clock: [1] * cycles}
        assert wave.values(clock, rises + period // 2) == [0] * cycles
        assert wave.values(clock, rises + period // 2 - 1) == [1] * cycles
    assert wave.variables.keys() == expected.keys()
    for path, values in expected.items():
        assert wave.values(path, rises) == values, path
        # Nothing but the clock changes at another time.
        if path != clock:
            when = [time for time, _ in wave.changes[wave.variables[path]]]
            assert np.isin(when, rises).all()


@pytest.mark.parametrize("cycles", [1, 2, 257])
@pytest.mark.parametrize("seed", range(3))
def test_vcd(seed, cycles, tmp_path):
    traces, expected = random_traces(seed, cycles)
    write_wave(tmp_path / "wave.vcd", traces)
    check(read(tmp_path / "wave.vcd"), expected)


@needs_fst2vcd
@pytest.mark.parametrize("cycles", [1, 2, 257])
@pytest.mark.parametrize("seed", range(3))
def test_fst(seed, cycles, tmp_path):
    traces, expected = random_traces(seed, cycles)
    write_wave(tmp_path / "wave.fst", traces)
    check(Wave(fst2vcd(tmp_path / "wave.fst")), expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("small_blocks")
def test_vcd_of_many_blocks(seed, tmp_path):
    traces, expected = random_traces(seed, 300)
    write_wave(tmp_path / "wave.vcd", traces, first_cycle=95, period_ps=101)
    check(read(tmp_path / "wave.vcd"), expected, first_cycle=95, period=101)


@needs_fst2vcd
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("small_blocks")
def test_fst_of_many_blocks(seed, tmp_path):
    traces, expected = random_traces(seed, 300)
    write_wave(tmp_path / "wave.fst", traces, first_cycle=95, period_ps=101)
    assert (tmp_path / "wave.fst").read_bytes()[65:73] != (1).to_bytes(8, "big")
    check(Wave(fst2vcd(tmp_path / "wave.fst")), expected, first_cycle=95, period=101)


@needs_fst2vcd
@pytest.mark.parametrize("seed", range(2))
def test_formats_agree(seed, tmp_path):
    traces, _ = random_traces(seed, 100)
    for suffix in ("vcd", "fst"):
        write_wave(tmp_path / f"wave.{suffix}", traces, comment="both")
    ours, theirs = read(tmp_path / "wave.vcd"), Wave(fst2vcd(tmp_path / "wave.fst"))
    assert ours.times == theirs.times
    assert ours.types == theirs.types
    assert list(ours.variables) == list(theirs.variables)
    for path, code in ours.variables.items():
        assert ours.changes[code] == theirs.changes[theirs.variables[path]], path


@needs_fst2vcd
@pytest.mark.parametrize("suffix", ["vcd", "fst"])
def test_without_a_clock(suffix, tmp_path):
    traces, expected = random_traces(7, 50)
    path = tmp_path / f"wave.{suffix}"
    write_wave(path, traces, clock=None, first_cycle=3)
    check(
        read(path) if suffix == "vcd" else Wave(fst2vcd(path)), expected, first_cycle=3, clock=None
    )


def test_vcd_without_a_clock_has_times_of_changes_only(tmp_path):
    values = np.array([0, 0, 3, 3, 3, 1], np.uint8)
    write_wave(tmp_path / "wave.vcd", [Trace(("a", "s"), 2, values)], clock=None, period_ps=10)
    assert read(tmp_path / "wave.vcd").times == [0, 20, 50, 60]


def test_vcd_is_read_by_others(tmp_path):
    traces, expected = random_traces(1, 20)
    write_wave(tmp_path / "wave.vcd", traces, comment="some text")
    declared, values, scopes, time = {}, {}, [], None
    dumped = dict.fromkeys(expected)
    kinds = vcd.reader.TokenKind
    with io.BytesIO((tmp_path / "wave.vcd").read_bytes()) as file:
        for token in vcd.reader.tokenize(file):
            if token.kind is kinds.SCOPE:
                scopes.append(token.scope.ident)
            elif token.kind is kinds.UPSCOPE:
                scopes.pop()
            elif token.kind is kinds.COMMENT:
                assert token.comment == "some text"
            elif token.kind is kinds.VAR:
                declared[*scopes, token.var.reference] = token.var
            elif token.kind is kinds.CHANGE_TIME:
                time = token.time_change
                if time % 10_000 == 5_000:
                    for path, wanted in expected.items():
                        code = declared[path].id_code
                        assert values[code] == wanted[time // 10_000], path
                        dumped[path] = True
            elif token.kind is kinds.CHANGE_SCALAR:
                values[token.scalar_change.id_code] = int(token.scalar_change.value)
            elif token.kind is kinds.CHANGE_VECTOR:
                values[token.vector_change.id_code] = token.vector_change.value
    assert all(dumped.values())
    for entry in traces:
        var = declared[entry.path]
        assert var.size == entry.width
        assert var.bit_index == ((entry.width - 1, 0) if entry.width > 1 else None)


@pytest.mark.parametrize("suffix", ["vcd", pytest.param("fst", marks=needs_fst2vcd)])
def test_names_of_one_array_share_their_changes(suffix, tmp_path):
    values = np.arange(4, dtype=np.uint8)
    traces = [Trace(("top", name), 2, values) for name in "ab"]
    path = tmp_path / f"wave.{suffix}"
    write_wave(path, [*traces, Trace(("top", "c"), 3, values)])
    codes = (read(path) if suffix == "vcd" else Wave(fst2vcd(path))).variables
    assert codes["top", "a"] == codes["top", "b"] != codes["top", "c"]


def test_fst_stores_equal_changes_once(tmp_path):
    values, _ = random_values(np.random.default_rng(0), 64, 1000, 1)
    sizes = []
    for copies in (1, 2, 20):
        traces = [Trace(("top", f"s{k}"), 64, values.copy()) for k in range(copies)]
        write_wave(tmp_path / "wave.fst", traces)
        sizes.append((tmp_path / "wave.fst").stat().st_size)
    assert sizes[0] > 4000
    assert sizes[2] < sizes[1] + 200 < sizes[0] + 300


@needs_fst2vcd
def test_long_quiet(tmp_path):
    when = [0, 1, 32, 64, 65, 200, 4_000, 12_300, 100_000, 270_000, 560_000]
    values = np.repeat(np.arange(11) % 2, np.diff([*when, 1_200_000])).astype(np.uint8)
    traces = [
        Trace(("top", "bit"), 1, values),
        Trace(("top", "byte"), 8, np.where(values == 1, 200, 3).astype(np.uint8)),
        Trace(("top", "constant"), 8, np.full_like(values, 5)),
        Trace(("top", "end"), 8, np.where(np.arange(1_200_000) < 1_199_999, 1, 255).astype("u1")),
    ]
    for suffix in ("fst", "vcd"):
        write_wave(tmp_path / f"wave.{suffix}", traces, clock=None, period_ps=10)
    changes = [line for line in fst2vcd(tmp_path / "wave.fst").splitlines() if line[0] in "#01b"]
    # All times are in the table, whether something changes or not.
    changes = [a for a, b in zip(changes, [*changes[1:], "0"], strict=True) if a[0] + b[0] != "##"]
    ours = (tmp_path / "wave.vcd").read_text().splitlines()
    ours = [line for line in ours if line[0] in "#01b"]
    assert len(changes) == 11 * 3 + 5
    times = [line for line in ours if line[0] == "#"]
    assert times == [f"#{cycle * 10}" for cycle in [*when, 1_199_999, 1_200_000]]
    # Within one time the order is free.
    assert split(ours) == split([*changes, "#12000000"])


def split(lines):
    """Changes by time."""
    times, changes = None, {}
    for line in lines:
        if line[0] == "#":
            times = changes.setdefault(line, set())
        else:
            times.add(line)
    return changes


ODD = [
    ("top", "a.b"),
    ("top", "a_b"),
    ("top", "a b"),
    ("top", "a_b_2"),
    ("top", "mem[3]"),
    ("top", "mem[3][4]"),
    ("top", "$end"),
    ("top", "3rd"),
    ("top", ""),
    ("top", "größe"),
    ("top", "clk"),
    ("top", "x" * 1000),
    ("top", "x" * 1000 + "y"),
    ("top", "u[0]", "s"),
    ("top", "u_0", "s"),
    ("top", "u 0", "s\n"),
    ("top", "mem", "s"),
    ("alone",),
    ("ümlaut", "$", "`\0"),
]
SAFE = [
    ("top", "a_b_3"),
    ("top", "a_b"),
    ("top", "a_b_4"),
    ("top", "a_b_2"),
    ("top", "mem_3"),
    ("top", "mem_3_4"),
    ("top", "_$end"),
    ("top", "_3rd"),
    ("top", "_"),
    ("top", "gr__e"),
    ("top", "clk"),
    ("top", "x" * 400),
    ("top", "x" * 400 + "_2"),
    ("top", "u_0_2", "s"),
    ("top", "u_0", "s"),
    ("top", "u_0_3", "s_"),
    ("top", "mem", "s"),
    ("top", "alone"),
    ("_mlaut", "_$", "__"),
]


@needs_fst2vcd
def test_names(tmp_path):
    traces = [Trace(path, 8, np.full(2, number, np.uint8)) for number, path in enumerate(ODD)]
    expected = {path: [number] * 2 for number, path in enumerate(SAFE)}
    assert len(expected) == len(traces)
    for suffix in ("vcd", "fst"):
        write_wave(tmp_path / f"wave.{suffix}", traces)
    check(read(tmp_path / "wave.vcd"), expected, clock=("top", "clk_"))
    check(Wave(fst2vcd(tmp_path / "wave.fst")), expected, clock=("top", "clk_"))


def test_clock_has_its_name_in_the_first_root(tmp_path):
    values = np.zeros(1, np.uint8)
    traces = [Trace(("tb", "dut", "a"), 1, values), Trace(("other", "b"), 1, values)]
    write_wave(tmp_path / "wave.vcd", traces, clock="sys clk")
    names = [*read(tmp_path / "wave.vcd").variables]
    assert names == [("tb", "sys_clk"), ("tb", "dut", "a"), ("other", "b")]


STATES = {0: "IDLE", 1: "two words", 2: "RUN"}


def test_vcd_shows_names_of_values(tmp_path):
    values = np.array([0, 1, 1, 2, 3, 0], np.uint8)
    traces = [
        Trace(("top", "state"), 2, values, STATES),
        Trace(("top", "state_name"), 1, values & 1),
        Trace(("top", "again"), 2, values, STATES),
        Trace(("top", "other"), 2, values, {3: "LAST"}),
    ]
    write_wave(tmp_path / "wave.vcd", traces)
    wave = read(tmp_path / "wave.vcd")
    times = np.arange(6) * 10_000
    assert wave.values(("top", "state"), times) == values.tolist()
    assert wave.types["top", "state_name_2"] == ("string", 1)
    shown = wave.values(("top", "state_name_2"), times)
    assert shown == ["IDLE", r"two\x20words", r"two\x20words", "RUN", "3", "IDLE"]
    assert wave.values(("top", "other_name"), times) == ["0", "1", "1", "2", "LAST", "0"]
    assert wave.variables["top", "again_name"] == wave.variables["top", "state_name_2"]


@needs_fst2vcd
def test_fst_shows_names_of_values(tmp_path):
    values = np.array([0, 1, 2], np.uint8)
    traces = [
        Trace(("top", "plain"), 2, values),
        Trace(("top", "state"), 2, values, STATES),
        Trace(("top", "again"), 2, values, STATES),
        Trace(("top", "huge"), 16, values.astype("u2"), {k: f"state{k}" for k in range(30_000)}),
    ]
    write_wave(tmp_path / "wave.fst", traces, comment="two\nlines")
    text = fst2vcd(tmp_path / "wave.fst", "-e")
    assert "$comment\n\ttwo\nlines\n$end" in text
    lines = [line for line in text.splitlines() if line.startswith(("$attr", "$var"))]
    lines = [re.sub(r" \S+ (?=\w+ \[)| ! ", " ", line) for line in lines]
    assert lines == [
        "$var wire 1 clk $end",
        "$var wire 2 plain [1:0] $end",
        r"$attrbegin misc 07 state 3 IDLE two\040words RUN 00 01 10 1 $end",
        '$attrbegin misc 07 "" 1 $end',
        "$var wire 2 state [1:0] $end",
        '$attrbegin misc 07 "" 1 $end',
        "$var wire 2 again [1:0] $end",
        "$var wire 16 huge [15:0] $end",
    ]


@pytest.mark.parametrize("suffix", ["vcd", "fst", "VCD"])
def test_file_depends_on_the_arguments_only(suffix, tmp_path):
    path = tmp_path / f"wave.{suffix}"
    write_wave(path, random_traces(0, 9)[0])
    first = path.read_bytes()
    write_wave(path, random_traces(0, 9)[0])
    assert path.read_bytes() == first
    assert [*tmp_path.iterdir()] == [path]


def test_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "wave.vcd"
    path.write_text("old")
    monkeypatch.setattr(trace.Signal, "bits", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_wave(path, random_traces(0, 9)[0])
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_missing_folder(tmp_path):
    with pytest.raises(OSError) as raised:
        write_wave(tmp_path / "none" / "wave.fst", random_traces(0, 9)[0])
    assert raised.value.filename == str(tmp_path / "none" / "wave.fst")


def test_comment_does_not_end_early(tmp_path):
    traces = [Trace(("top", "a"), 1, np.zeros(1, np.uint8))]
    write_wave(tmp_path / "wave.vcd", traces, comment="x $end $var y")
    assert read(tmp_path / "wave.vcd").header["$comment"] == "x $ end $var y"


ONE = np.zeros(3, np.uint8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((("a",), 0, ONE), ValueError, "width of a must be a positive integer, not 0"),
        ((("a",), 1.0, ONE), ValueError, "width of a must be a positive integer, not 1.0"),
        (("a", 1, ONE), TypeError, "path must be a tuple of strings, not 'a'"),
        (((), 1, ONE), ValueError, "path must have a name"),
        (
            (("t", "a"), 1, [0]),
            TypeError,
            "values of t.a must be an array of unsigned integers, not list",
        ),
        (
            (("t", "a"), 1, ONE.astype(int)),
            TypeError,
            "values of t.a must be an array of unsigned integers, not int64",
        ),
        (
            (("a",), 65, np.zeros((3, 2), np.uint32)),
            TypeError,
            "values of a must be words of 64 bits, not uint32",
        ),
        (
            (("a",), 65, np.zeros((3, 3), np.uint64)),
            ValueError,
            "values of a must have the shape (cycles, 2), not (3, 3)",
        ),
        (
            (("a",), 5, np.zeros((3, 1), np.uint64)),
            ValueError,
            "values of a must have the shape (cycles,), not (3, 1)",
        ),
        (
            (("a",), 4, np.array([1, 16], np.uint8)),
            ValueError,
            "value 16 of a in cycle 1 has more than 4 bits",
        ),
        (
            (("a",), 65, np.array([[0, 1], [1, 2]], np.uint64)),
            ValueError,
            f"value {2**65 + 1} of a in cycle 1 has more than 65 bits",
        ),
        (
            (("a",), 2, ONE, {0: "NONE", 4: "MANY"}),
            ValueError,
            "enum of a must name values of 2 bits, not 4",
        ),
        (
            (("a",), 65, np.zeros((3, 2), np.uint64), {0: "NONE"}),
            ValueError,
            "enum of a needs a width of at most 64, not 65",
        ),
    ],
)
def test_trace_refuses(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Trace(*arguments)


@pytest.mark.parametrize(
    ("name", "traces", "options", "error", "message"),
    [
        ("x.ghw", 1, {}, ValueError, "a waveform file must end in .vcd or .fst, not 'x.ghw'"),
        ("x", 1, {}, ValueError, "a waveform file must end in .vcd or .fst, not 'x'"),
        ("x.vcd", [], {}, ValueError, "a waveform needs at least one trace"),
        ("x.vcd", [3], {}, TypeError, "traces must be of the class Trace, not int"),
        ("x.vcd", 0, {}, ValueError, "a waveform needs at least one cycle"),
        (
            "x.vcd",
            1,
            {"first_cycle": -1},
            ValueError,
            "first_cycle must be an integer of at least 0, not -1",
        ),
        (
            "x.vcd",
            1,
            {"period_ps": 1},
            ValueError,
            "period_ps must be an integer of at least 2, not 1",
        ),
        (
            "x.fst",
            1,
            {"first_cycle": 1 << 60},
            ValueError,
            f"cycle {(1 << 60) + 1} of 10000 ps lies beyond 2**63 ps",
        ),
    ],
)
def test_write_wave_refuses(name, traces, options, error, message, tmp_path):
    if isinstance(traces, int):
        traces = [Trace(("a",), 1, np.zeros(traces, np.uint8))]
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        write_wave(tmp_path / name, traces, **options)
    assert [*tmp_path.iterdir()] == []


def test_write_wave_refuses_traces_that_do_not_fit_together(tmp_path):
    a, b = (Trace(("t", name), 1, np.zeros(n, np.uint8)) for name, n in (("a", 3), ("b", 4)))
    message = "traces must have the same number of cycles, not 3 of t.a and 4 of t.b"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_wave(tmp_path / "x.vcd", [a, b])
    with pytest.raises(ValueError, match=r"^two traces have the path t\.a$"):
        write_wave(tmp_path / "x.vcd", [a, a])
