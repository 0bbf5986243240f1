"""The demo's report in reports/demo is what the demo writes today."""

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "reports" / "demo"
# ONNX Runtime rounds in floating point, as the processor does it: how often it differs is not ours.
THEIRS = "report-onnx-runtime.csv"


@pytest.fixture(scope="module")
def today(tmp_path_factory):
    """The files as they would be published now, by name."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "reports" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    return {path.name: path for path in generate.files(tmp_path_factory.mktemp("demo"))}


def test_the_same_files(today):
    assert {path.name for path in PUBLISHED.iterdir()} == set(today)


def test_tables_are_those_of_today(today):
    for name, path in today.items():
        if name.endswith(".csv") and name != THEIRS:
            published = pd.read_csv(PUBLISHED / name)
            pd.testing.assert_frame_equal(published, pd.read_csv(path), rtol=1e-9, obj=name)


def test_onnx_runtime_differs_by_one_step_at_most(today):
    published, found = (pd.read_csv(path) for path in (PUBLISHED / THEIRS, today[THEIRS]))
    assert list(published["name"]) == list(found["name"])
    assert published["values"].tolist() == found["values"].tolist()
    assert max(published["largest"]) <= 1


def test_texts_are_those_of_today(today):
    def texts(path):
        page = path.read_text(encoding="utf-8")
        # But for the date, and for what ONNX Runtime finds.
        page = re.sub(r"\A(# .*\n\n)\d{4}-\d\d-\d\d\n", r"\1", page)
        return re.sub(r"\n## ONNX Runtime\n.*?(?=\n## )", "", page, flags=re.DOTALL)

    assert texts(PUBLISHED / "report.md") == texts(today["report.md"])
