"""The published clocks of the reference designs, and what the documentation says of them."""

import json
from pathlib import Path

from benchmarks import clocks

ROOT = Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "reports/benchmarks/clocks.json").read_text(encoding="utf-8"))


def test_documentation_has_the_published_table():
    text = (ROOT / "docs/synthesis.md").read_text(encoding="utf-8")
    assert clocks.clocks(PUBLISHED["results"]["designs"]) in text


def test_reference_designs_reach_what_was_asked():
    designs = PUBLISHED["results"]["designs"]
    for name in clocks.REFERENCE:
        assert designs[name]["dsp"] == designs[name]["products"]
        for grade, asked in clocks.ASKED_HZ.items():
            assert clocks.slowest(designs[name], grade)["fmax_hz"] >= asked
