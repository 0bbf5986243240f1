"""The published study of the ECP5-85F says what exploration says now."""

from benchmarks import study_ecp5 as study
from hwsim.explore import explore

REPORT = (study.FOLDER / "ecp5-85f.md").read_text(encoding="utf-8")


def published(name):
    return (study.FOLDER / f"{name}.csv").read_text(encoding="utf-8")


def check_published(row):
    line = next(line for line in REPORT.splitlines() if line.startswith(f"| {row[0]}"))
    assert [cell.strip() for cell in line.split("|")[1:-1]] == row


def test_squeezenet():
    _, studies = study.explore("squeezenet")
    assert study.front_csv(studies) == published("squeezenet")
    for row in study.pick_rows(studies):
        check_published(row)


def test_lenet5():
    """The smallest pipeline, and all arrays: other pipelines take too long for a test."""
    (case,) = study.NETWORKS["lenet5"][1]
    space = study.space("lenet5", case)
    space["streaming"] = {"multipliers": 12}
    found = explore(study.lenet5(), space, workers=1)
    lines = published("lenet5").splitlines()
    header, *now = study.front_csv({case: found}).splitlines()
    assert header == lines[0]
    pipelines = [line for line in now if line.startswith("streaming")]
    assert len(pipelines) == 1
    # Other arrays are here too, which larger pipelines beat.
    assert set(pipelines) < set(lines)
    assert {line for line in lines if line.startswith("systolic")} <= set(now)
    check_published(study.pick_rows({case: found})[0])
