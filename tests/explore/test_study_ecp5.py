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


def test_lenet5_on_arrays():
    """Pipelines take too long for a test; the arrays of the front are what they were."""
    (case,) = study.NETWORKS["lenet5"][1]
    space = study.space("lenet5", case)
    space.pop("streaming")
    found = explore(study.lenet5(), space, workers=1)
    now = study.front_csv({case: found}).splitlines()
    lines = published("lenet5").splitlines()
    assert lines[0] == now[0]
    arrays = [line for line in lines[1:] if line.startswith("systolic")]
    assert len(arrays) > 10
    # Without pipelines the front has these, and others that pipelines beat.
    assert set(arrays) <= set(now)
    check_published(study.pick_rows({case: found})[0])
