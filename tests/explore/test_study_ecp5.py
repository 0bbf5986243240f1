"""The published study of the ECP5-85F says what exploration says now."""

import csv

from benchmarks import study_ecp5 as study
from hwsim.explore import explore

REPORT = (study.FOLDER / "ecp5-85f.md").read_text(encoding="utf-8")


def published(name):
    return (study.FOLDER / f"{name}.csv").read_text(encoding="utf-8")


def test_squeezenet():
    network, studies = study.explore("squeezenet")
    assert study.front_csv(studies) == published("squeezenet")
    for row in (*study.pick_rows(studies), *study.refined_rows(network, studies, False)):
        for cell in row:
            assert cell in REPORT, row


def test_lenet5_on_arrays():
    """Pipelines take too long for a test; the arrays of the front are what they were."""
    (memory,) = study.NETWORKS["lenet5"][1]
    space = study.space("lenet5", memory)
    space.pop("streaming")
    found = explore(study.lenet5(), space, workers=1)
    now = study.front_csv({memory: found}).splitlines()
    lines = published("lenet5").splitlines()
    assert lines[0] == now[0]
    arrays = [line for line in lines[1:] if line.startswith("systolic")]
    assert len(arrays) > 10
    # Without pipelines the front has these, and others that pipelines beat.
    assert set(arrays) <= set(now)
    least = min(csv.DictReader(lines), key=lambda row: float(row["cost"]))
    assert f"| {least['lut']}".split(".")[0][:4] in REPORT.replace(",", "")
