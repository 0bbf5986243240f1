"""The published clocks, and what the documentation says of them."""

import json
from pathlib import Path

import pytest

from benchmarks import clocks

ROOT = Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "reports/benchmarks/clocks.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("page", "group", "designs"),
    [
        ("synthesis.md", "designs", clocks.DESIGNS),
        ("units/backward.md", "gradients", clocks.GRADIENTS),
        ("training.md", "trainer", clocks.TRAINER),
    ],
)
def test_documentation_has_the_published_table(page, group, designs):
    published = PUBLISHED["results"][group]
    assert {name: facts["about"] for name, facts in published.items()} == {
        name: about for name, (about, _, _) in designs.items()
    }
    assert clocks.clocks(published) in (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_page_is_of_the_published_results():
    page = (ROOT / "reports/benchmarks/clocks.md").read_text(encoding="utf-8")
    assert page == clocks.document(PUBLISHED["results"], PUBLISHED["conditions"])


def test_reference_designs_reach_what_was_asked():
    designs = PUBLISHED["results"]["designs"]
    for name in clocks.REFERENCE:
        assert designs[name]["dsp"] == designs[name]["products"]
        for grade, asked in clocks.ASKED_HZ.items():
            assert clocks.slowest(designs[name], grade)["fmax_hz"] >= asked
