import json
from pathlib import Path

import numpy as np
import pytest

from hwsim.tables import duration
from hwsim.terminal import Terminal, clean


def test_control_characters_are_replaced():
    assert clean("a\tb\033[2Jc\x9bd\u202ee ü×") == "a\ufffdb\ufffd[2Jc\ufffdd\ufffde ü×"


def test_table(capsys):
    rows = [["a", 1234567, 0.123456, None], ["b", np.int64(2), np.float32(2.0), True]]
    Terminal(as_json=False).table(["name", "n", "x", "y"], rows, total=["sum", 1234569, "", ""])
    out, err = capsys.readouterr()
    assert err == ""
    cells = [[cell.strip() for cell in line[1:-1].split("│")] for line in out.splitlines()]
    assert ["a", "1,234,567", "0.1235", ""] in cells
    assert ["b", "2", "2", "yes"] in cells
    assert ["sum", "1,234,569", "", ""] in cells
    # Numbers are aligned to the right.
    assert "│         2 │" in out


def test_wide_tables_are_not_broken_in_a_file(capsys):
    Terminal(as_json=False).table(["name"], [["x" * 110]])
    assert "x" * 110 in capsys.readouterr().out


def test_with_json_people_read_standard_error(capsys):
    terminal = Terminal(as_json=True)
    terminal.say("for people")
    with terminal.progress("working", 3) as show:
        show(1)
    terminal.finish({"n": np.int64(3), "x": np.float32(0.5), "a": np.arange(2), "p": Path("a/b")})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"n": 3, "x": 0.5, "a": [0, 1], "p": "a/b"}
    assert err == "for people\n"


def test_without_json_the_result_is_for_people_only(capsys):
    terminal = Terminal(as_json=False)
    terminal.say("for people")
    terminal.finish({"n": 3})
    assert capsys.readouterr() == ("for people\n", "")


def test_json_has_no_nan():
    with pytest.raises(ValueError, match="JSON compliant"):
        Terminal(as_json=True).finish({"x": float("nan")})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2, "2 s"), (1, "1 s"), (0.0123, "12.3 ms"), (6.64e-5, "66.4 us"), (2.5e-8, "0.025 us")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
