"""Write the demo's report to the folder beside this file: ``make reports``."""

import shutil
import tempfile
from pathlib import Path

from hwsim import demo
from hwsim.terminal import Terminal

FOLDER = Path(__file__).resolve().parent / "demo"
# As `hwsim demo` does, unless it is told otherwise.
IMAGES = 1000


def files(folder: Path) -> list[Path]:
    """Run the demo in a folder; returns its report's files that are published."""
    _, passed = demo.run(Terminal(as_json=True), folder, count=IMAGES)
    if not passed:
        raise SystemExit("the demo failed")
    return sorted([*folder.glob("report*.md"), *folder.glob("report*.csv")])


def main() -> None:
    """Replace what is published."""
    with tempfile.TemporaryDirectory() as folder:
        written = files(Path(folder))
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        for path in written:
            shutil.copy(path, FOLDER)


if __name__ == "__main__":
    main()
