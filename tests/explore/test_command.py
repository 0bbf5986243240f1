"""`hwsim explore`."""

import json

import pytest

from hwsim.cli import main

SPACE = """
objectives = ["throughput", "lut"]
device = "ecp5-85f"
[systolic]
rows = [4, 8, 16]
cols = [4, 8]
buffer_bytes = 65536
accumulator_rows = 256
[constraints]
min_frames_per_second = 10
"""


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(["explore", *map(str, arguments)])
    return caught.value.code


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


def test_json_and_report(space, tmp_path, capsys):
    options = ("--workers", 1, "--store", tmp_path / "a.db", "-o", tmp_path / "out", "--json")
    assert run("digits", "--space", space, *options) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["points"] == found["evaluated"] == 6
    assert found["feasible"] + sum(found["rejected"].values()) == 6
    assert found["knee"]["point"] in [entry["point"] for entry in found["front"]]
    assert found["seconds"] > 0
    assert found["points_per_second"] > 0
    assert (tmp_path / "out" / "explore.html").exists()
    assert run("digits", "--space", space, *options) == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 6


def test_tables(space, capsys):
    assert run("digits", "--space", space, "--workers", 1) == 0
    text = capsys.readouterr().out
    assert "digits: front of" in text
    assert "knee: point" in text


def test_nothing_feasible_is_a_negative_result(space, tmp_path, capsys):
    space.write_text(SPACE.replace("= 10", "= 1e9"))
    assert run("digits", "--space", space, "--workers", 1) == 1
    assert "below min_frames_per_second = 1e+09" in capsys.readouterr().out
    options = ("-o", tmp_path / "out", "--json")
    assert run("digits", "--space", space, "--workers", 1, *options) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["front"], found["knee"], found["feasible"]) == ([], None, 0)


def test_bad_input(space, capsys):
    space.write_text("[systolic]\nrows = 4\n")
    assert run("digits", "--space", space) == 2
    assert capsys.readouterr().err == (f"hwsim: error: space {space}, [systolic] lacks cols\n")
