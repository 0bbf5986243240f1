import csv
import errno
import hashlib
import io
import os
import re
import subprocess
import sys
from base64 import b64encode
from html import unescape

import markdown_it
import pandas as pd
import plotly.graph_objects as go
import pytest

import hwsim
from hwsim.data import bundled
from hwsim.reports import Accuracy, Report, Section

TABLE = pd.DataFrame(
    {
        "name": ["conv|1", "__x__"],
        "output_shape": [(6, 28, 28), (10,)],
        "macs": [117600, 0],
        "share_percent": [1 / 3, None],
    }
)


def make(**arguments):
    figure = go.Figure(go.Bar(x=[1, 2], y=["a", "b"]))
    section = Section(
        "A *title*",
        "Text & <more>.",
        {"Fact": "<1>"},
        {"caption": figure},
        tables={"layers": TABLE, "others": TABLE},
    )
    return hwsim.report(section, TABLE, section, title="A < B", date="2025-01-31", **arguments)


def test_save_writes_all_files_and_nothing_else(tmp_path):
    paths = make().save(tmp_path / "new" / "my report.html")
    names = [path.name for path in paths]
    assert names == [
        "my report.html",
        "my report.md",
        "my report-layers.csv",
        "my report-others.csv",
        "my report-table.csv",
        "my report-layers-2.csv",
        "my report-others-2.csv",
    ]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    page = paths[0].read_text(encoding="utf-8")
    for name in names[2:]:
        assert f'href="{name.replace(" ", "%20")}"' in page


def test_save_accepts_text(tmp_path):
    assert make().save(str(tmp_path / "r.html"))[0] == tmp_path / "r.html"


def test_saved_files_have_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "other").write_text("")
    wanted = (tmp_path / "other").stat().st_mode
    assert {path.stat().st_mode for path in make().save(tmp_path / "r.html")} == {wanted}


@pytest.mark.parametrize("name", ["report", "report.htm", "report.pdf"])
def test_save_wrong_name(tmp_path, name):
    with pytest.raises(ValueError) as error:
        make().save(tmp_path / name)
    assert str(error.value) == f"a report's path must end in .html, not {str(tmp_path / name)!r}"
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "r.html").write_text("old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*r\.html"):
        make().save(tmp_path / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "old"


def test_no_item():
    with pytest.raises(ValueError) as error:
        hwsim.report()
    assert str(error.value) == "a report needs at least one item"


def test_unknown_item():
    with pytest.raises(TypeError) as error:
        hwsim.report(3)
    assert str(error.value) == (
        "a report cannot show int; it shows Network, Accuracy, StreamingPlan, Design, "
        "SystolicDesign, Result, ArrayTrace, Estimates, GemmComparison, Comparison, Check, "
        "FilterResult, Study, DataFrame, Section"
    )


def test_date_is_of_today_unless_given():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", hwsim.report(TABLE).date)
    assert make().date == "2025-01-31"


def test_markdown_tables():
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(make().markdown())
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 5
    start, end = kinds.index("table_open"), kinds.index("table_close")
    cells = []
    for token, inside in zip(tokens[start:end], tokens[start + 1 : end + 1], strict=True):
        if token.type == "tr_open":
            cells.append([])
        elif token.type in ("th_open", "td_open"):
            assert {child.type for child in inside.children} <= {"text", "text_special"}
            cells[-1].append("".join(child.content for child in inside.children))
            numeric = len(cells[-1]) > 2
            assert token.attrGet("style") == ("text-align:right" if numeric else None)
    assert cells == [
        ["Name", "Output shape", "MACs", "Share (%)"],
        ["conv|1", "6\u00a0×\u00a028\u00a0×\u00a028", "117,600", "0.3333"],
        ["__x__", "10", "0", ""],
    ]


def test_markdown_text():
    lines = make().markdown().splitlines()
    assert lines[:9] == [
        "# A &lt; B",
        "",
        "2025-01-31",
        "",
        "## A \\*title\\*",
        "",
        "Text &amp; &lt;more&gt;.",
        "",
        "- Fact: &lt;1&gt;",
    ]


def test_csv_holds_all_digits(tmp_path):
    paths = make().save(tmp_path / "r.html")
    rows = list(csv.reader(io.StringIO(paths[2].read_bytes().decode())))
    assert rows == [
        ["name", "output_shape", "macs", "share_percent"],
        ["conv|1", "6 x 28 x 28", "117600", repr(1 / 3)],
        ["__x__", "10", "0", ""],
    ]
    assert pd.read_csv(paths[2])["macs"].tolist() == [117600, 0]


def test_empty_table(tmp_path):
    paths = hwsim.report(TABLE[:0], date="x").save(tmp_path / "r.html")
    assert paths[2].read_text() == "name,output_shape,macs,share_percent\n"


def test_html_is_one_file():
    page = make().html()
    assert page.count("plotly.js v") == 1
    assert (
        re.findall(
            r"<link|<script[^>]* src=|<img[^>]* src=\"(?!data:)|@import|url\(",
            page.replace(plotly_script(page), ""),
        )
        == []
    )


def test_html_without_figures_has_no_script():
    page = hwsim.report(TABLE, date="2025-01-31").html()
    assert "<script" not in page
    assert "script-src 'none'" in unescape(page)
    assert len(page) < 10_000


def plotly_script(page):
    return max(re.findall(r"<script>(.*?)</script>", page, re.DOTALL), key=len)


def test_only_the_scripts_of_the_report_may_run():
    page = make().html()
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [
        f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    ]
    assert len(scripts) == 2
    assert policy == (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def test_keyboard_reaches_tables_and_contents():
    page = make().html()
    scrolled = re.findall(r'<div class="scroll"[^>]*>', page)
    assert len(scrolled) == 5
    assert all(
        'tabindex="0"' in tag and 'role="region"' in tag and "aria-label=" in tag
        for tag in scrolled
    )
    targets = re.findall(r'<a[^>]* href="#([^"]+)"', page)
    assert targets == ["main", "a-title", "table", "a-title-2"]
    identifiers = re.findall(r'\bid="([^"]+)"', page.replace(plotly_script(page), ""))
    assert len(identifiers) == len(set(identifiers))
    assert set(targets) <= set(identifiers)


def test_notebook_gets_the_page_in_a_frame():
    report = make()
    shown = report._repr_html_()
    frame = re.fullmatch(
        r'<iframe srcdoc="([^"]*)" title="A &lt; B" style="[^"]*"></iframe>', shown
    )
    assert unescape(frame[1]) == report.html()


def test_sections_are_as_given():
    section = Section("One")
    report = hwsim.report(section, title="T", date="d")
    assert isinstance(report, Report)
    assert report.sections == (section,)


STORY = f"""
import sys, hwsim
from hwsim.reports import Accuracy
network = hwsim.load({str(bundled("lenet5/lenet5.onnx"))!r})
accuracy = Accuracy(float_accuracy=0.893, int8_accuracy=0.891, images=1000, method="min-max")
hwsim.report(network, accuracy, title="T", date="2025-01-31").save(sys.argv[1])
"""


def test_same_items_give_the_same_bytes(tmp_path):
    contents = []
    for seed in "1", "2":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        folder = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", STORY, folder / "r.html"], check=True, env=environment
        )
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0].keys() == {"r.html", "r.md", "r-layers.csv", "r-accuracy.csv"}
    assert contents[0] == contents[1]


def test_the_date_is_the_only_difference_between_days():
    item = Accuracy(float_accuracy=0.9, int8_accuracy=0.9, images=1, method="x")
    one, other = (hwsim.report(item, date=date).html() for date in ("2025-01-31", "2025-02-01"))
    assert one != other
    assert one.replace("2025-01-31", "2025-02-01") == other


def test_listings(tmp_path):
    """Lines as they are, in HTML and in Markdown; never markup."""
    text = "module <b>;\n  `x *a* \x07\n\nendmodule\n"
    section = hwsim.reports.Section("Code", listings={"a <i>.v": text})
    page = hwsim.report(section).html()
    assert "<summary>a &lt;i&gt;.v</summary>" in page
    assert "\nmodule &lt;b&gt;;\n  `x *a* \ufffd\n\nendmodule\n</pre>" in page
    assert "\n\n    module <b>;\n      `x *a* \ufffd\n    \n    endmodule\n" in (
        hwsim.report(section).markdown()
    )
