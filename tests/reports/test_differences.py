"""What differs between two results."""

import json
import math

import pandas as pd
import pytest

import hwsim
from hwsim.reports import compare, read_result


def result(seconds=1.0, **changes):
    return {
        "network": "lenet5",
        "seconds": seconds,
        "devices": [
            {
                "device": "cpu",
                "latency_s": 2.0,
                "layers": [{"name": "a", "seconds": 1.0}, {"name": "b", "seconds": 0}],
            },
            {"device": "gpu", "latency_s": 4, "fits": True, "bound": "memory"} | changes,
        ],
        "shape": [1, 2],
    }


def test_equal():
    found = compare(result(1.0), result(2.0))
    # The time that the run took is not among them, that of a layer is.
    assert found.compared == 13
    assert found.equal
    assert found.to_dict() == {
        "first": "first",
        "second": "second",
        "compared": 13,
        "different": 0,
        "differences": [],
        "missing": [],
    }


def test_numbers_and_texts():
    found = compare(result(), result(latency_s=5, bound="compute", fits=False), names=("a", "b"))
    assert not found.equal
    assert found.to_dict()["differences"] == [
        {
            "quantity": "devices[gpu].latency_s",
            "first": 4,
            "second": 5,
            "difference": 1,
            "difference_percent": 25,
        },
        {
            "quantity": "devices[gpu].fits",
            "first": True,
            "second": False,
            "difference": None,
            "difference_percent": None,
        },
        {
            "quantity": "devices[gpu].bound",
            "first": "memory",
            "second": "compute",
            "difference": None,
            "difference_percent": None,
        },
    ]


def test_order_of_entries_does_not_matter():
    second = result()
    second["devices"].reverse()
    assert compare(result(), second).equal


def test_what_one_of_them_has():
    first = result()
    del first["devices"][1]["bound"]
    second = result()
    del second["devices"][0]
    found = compare(first, second, names=("a", "b"))
    assert found.table.empty and not found.equal
    assert found.missing.to_dict("records") == [
        {"quantity": "devices[cpu].device", "only_in": "a"},
        {"quantity": "devices[cpu].latency_s", "only_in": "a"},
        {"quantity": "devices[cpu].layers[a].name", "only_in": "a"},
        {"quantity": "devices[cpu].layers[a].seconds", "only_in": "a"},
        {"quantity": "devices[cpu].layers[b].name", "only_in": "a"},
        {"quantity": "devices[cpu].layers[b].seconds", "only_in": "a"},
        {"quantity": "devices[gpu].bound", "only_in": "b"},
    ]


def test_tolerance():
    second = result(latency_s=4.04)
    assert compare(result(), second, tolerance=0.0101).equal
    assert not compare(result(), second, tolerance=0.0099).equal
    # From nothing to something is never a small difference.
    second["devices"][0]["layers"][1]["seconds"] = 1e-9
    found = compare(result(), second, tolerance=0.5)
    assert found.table["quantity"].tolist() == ["devices[cpu].layers[b].seconds"]
    assert math.isnan(found.table["difference_percent"][0])


@pytest.mark.parametrize(
    ("pattern", "left"),
    [("*.latency_s", 1), ("devices[gpu].*", 0), ("devices[*].bound", 1), ("bound", 2)],
)
def test_ignore(pattern, left):
    found = compare(result(), result(latency_s=5, bound="compute"), ignore=[pattern])
    assert len(found.table) == left


def test_entries_of_one_name_are_numbered():
    rows = [{"name": "a", "n": 1}, {"name": "a", "n": 2}]
    found = compare({"rows": rows}, {"rows": [rows[0], {"name": "a", "n": 3}]})
    assert found.table["quantity"].tolist() == ["rows[a #2].n"]


def test_nothing_in_common():
    with pytest.raises(ValueError) as refused:
        compare({"a": 1}, {"b": 1}, names=("x.json", "y.json"))
    assert str(refused.value) == (
        "x.json and y.json have nothing in common; give two results of one command"
    )


def test_files(tmp_path):
    table = pd.DataFrame({"device": ["a", "b"], "n": [1, 2], "x": [0.5, None], "t": ["u", "v"]})
    for name, scale in ("a", 1), ("b", 2):
        scaled = table.assign(n=scale * table["n"])
        hwsim.report(scaled, date="d").save(tmp_path / f"{name}.html")
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": scaled["n"].tolist()}))
    found = compare(*(read_result(tmp_path / f"{name}-table.csv") for name in "ab"))
    assert found.compared == 8
    assert found.table[["quantity", "difference"]].to_numpy().tolist() == [
        ["rows[a].n", 1],
        ["rows[b].n", 2],
    ]
    found = compare(*(read_result(tmp_path / f"{name}.json") for name in "ab"))
    assert found.table["quantity"].tolist() == ["rows[0]", "rows[1]"]


def test_what_is_no_result(tmp_path):
    for name, text in (
        ("a.json", "[]"),
        ("b.txt", "x"),
        ("c.json", "\udc80"),
        ("e.json", '{"a":' * 10**5),
    ):
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ValueError) as refused:
            read_result(path)
        assert str(refused.value) == (
            f"{path} is not a result: a JSON object, as a command prints with --json, or a .csv"
        )
    (tmp_path / "d.csv").write_text("")
    with pytest.raises(ValueError) as refused:
        read_result(tmp_path / "d.csv")
    assert str(refused.value) == f"{tmp_path / 'd.csv'} is not a CSV table"


def test_numbers_beyond_all_bounds(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(f'{{"a": {10**400}, "b": 1e999, "c": NaN, "d": [{{"e": []}}], "f": -1e308}}')
    result = read_result(path)
    found = compare(result, result | {"a": 1, "b": 1, "c": 1, "f": 1e308})
    assert found.table["quantity"].tolist() == ["a", "b", "c", "f"]
    assert found.table["difference"].isna().all()
    json.dumps(found.to_dict(), allow_nan=False)


def test_section():
    found = compare(result(), result(latency_s=5, bound="compute"), names=("a.json", "b.json"))
    (section,) = hwsim.report(found).sections
    assert section.title == "a.json and b.json"
    assert section.facts["Different"] == "2"
    assert section.facts["Largest difference"] == "+25 %, devices[gpu].latency_s"
    (figure,) = section.figures.values()
    assert (list(figure.data[0].y), list(figure.data[0].x)) == (["devices[gpu].latency_s"], [25])
    markdown = hwsim.report(found).markdown()
    assert "| devices\\[gpu\\].latency\\_s | 4 | 5 | 1 | 25 |" in markdown.replace(
        "latency_s", "latency\\_s"
    )
    (section,) = hwsim.report(compare(result(), result())).sections
    assert section.text.endswith("They are equal.")
    assert not section.figures and list(section.tables) == ["differences"]
