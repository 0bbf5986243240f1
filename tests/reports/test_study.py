"""The section of an exploration."""

import hwsim
from hwsim.networks import network as known


def test_section_of_a_study(tmp_path):
    space = {
        "objectives": ["throughput", "dsp"],
        "device": "ecp5-85f",
        "constraints": {"min_frames_per_second": 1},
        "systolic": {"rows": [4, 8, 16], "cols": [4, 8], "buffer_bytes": [64, 65536]},
    }
    study = hwsim.explore(known("alexnet"), space, workers=1)
    report = hwsim.report(study, date="2026-01-01")
    (section,) = report.sections
    assert section.title == "Designs for alexnet"
    assert section.facts["Points"] == "12"
    assert section.facts["Knee"] == f"point {study.knee['point']}"
    front, why = section.figures.values()
    assert {trace.name for trace in front.data} >= {"front", "knee"}
    assert list(why.data[0].y) == list(study.rejected)
    assert section.tables["front"].equals(study.front)
    files = report.save(tmp_path / "explore.html")
    assert files[0].read_text().count("Designs for alexnet") >= 1
