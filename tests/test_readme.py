"""What the README and the other documents show runs as it stands there."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from hwsim import cli
from hwsim.data import bundled

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line, comments=True) for line in re.findall(r"^hwsim .*", README, re.M)]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[a-z]*/README.md")})


def python_of(document):
    """The Python of a document, which may build on what stands further up in it."""
    return "\n".join(
        re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    )


@pytest.mark.parametrize(
    "document",
    [document for document in DOCUMENTS if python_of(document)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_python(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(bundled("lenet5/lenet5.onnx"), tmp_path)
    exec(compile(python_of(document), str(document), "exec"), {})


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((32, 24), 60).save("photo.png")
    for name in "old.json", "new.json":
        Path(name).write_text('{"cycles": 4021}')
    # tests/test_package.py runs the demo.
    assert ["hwsim", "demo"] in COMMANDS
    for command in COMMANDS:
        if command != ["hwsim", "demo"]:
            with pytest.raises(SystemExit) as left:
                cli.main(command[1:])
            assert left.value.code == 0, command
    given = {"photo.png", "old.json", "new.json"}
    files = {"int8.onnx", "trained.onnx", "edges.png"}
    folders = {"verilog", "program", "report", "validation", "seen"}
    assert {path.name for path in tmp_path.iterdir()} == given | files | folders
    assert len(COMMANDS) == 18


def test_estimate_of_training(capsys):
    """The command that the document shows has the cycles of what it says."""
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    (estimate,) = re.findall(r"`hwsim (estimate lenet5 .*?)`", text)
    train = "train lenet5 --images lenet5 --steps 1 --engine reference"
    found = []
    for command in (estimate, train):
        with pytest.raises(SystemExit) as left:
            cli.main([*command.split(), "--json"])
        assert left.value.code == 0
        found.append(json.loads(capsys.readouterr().out))
    cycles = found[0]["devices"][0]["cycles"]
    assert cycles == found[1]["planned_cycles"]
    shown = f"{cycles:,}, which are {round(found[1]['cycles_per_image']):,} per image"
    assert shown in " ".join(text.split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(document):
    for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / link).exists(), link
