"""The section of an exploration."""

import hwsim


def test_section_of_a_study(tmp_path, make):
    study = make.study()
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
