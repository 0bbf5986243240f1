"""What the README shows runs as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from hwsim import cli

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
(PYTHON,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for line in re.findall(r"^hwsim .*", README, re.M)]


def test_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(PYTHON, "README.md", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} >= {
        "lenet5_int8.onnx",
        "lenet5_verilog",
        "report.html",
    }


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # tests/test_package.py runs the demo.
    assert ["hwsim", "demo"] in COMMANDS
    for command in COMMANDS:
        if command != ["hwsim", "demo"]:
            with pytest.raises(SystemExit) as left:
                cli.main(command[1:])
            assert left.value.code == 0, command
    assert {path.name for path in tmp_path.iterdir()} == {"int8.onnx", "verilog"}
    assert len(COMMANDS) == 7


def test_links():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    for link in links:
        assert (Path(__file__).parents[1] / link).exists(), link
