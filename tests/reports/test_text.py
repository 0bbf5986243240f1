import markdown_it
import numpy as np
import pytest

from hwsim.reports.text import cell, clean, csv_cell, duration, heading, markdown, short, slug

NAMES = [
    "conv_1",
    "__init__",
    "_a_b_",
    "a*b*",
    "`x`",
    "[x](y)",
    "a|b",
    "<b>",
    "&lt;",
    "\\|",
    "1 # 2",
    "~~x~~",
    "![x](y)",
    "µ × ü",
]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("name", "Name"),
        ("output_shape", "Output shape"),
        ("macs", "MACs"),
        ("params", "Parameters"),
        ("lsb_differences", "LSB differences"),
        ("latency_ms", "Latency (ms)"),
        ("throughput_images_per_s", "Throughput (images/s)"),
        ("throughput_requests_per_s", "Throughput (requests/s)"),
        ("speedup", "Speed-up"),
        ("interval_cycles", "Interval (cycles)"),
        ("cycles", "Cycles"),
        ("utilization_percent", "Utilization (%)"),
        ("", ""),
    ],
)
def test_heading(column, expected):
    assert heading(column) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (float("nan"), ""),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (np.int64(-1000), "-1,000"),
        (0.0, "0"),
        (0.00012345678, "0.0001235"),
        (83.3333, "83.33"),
        (123456.7, "123,457"),
        (float("inf"), "inf"),
        ((1, 6, 28), "1\u00a0×\u00a06\u00a0×\u00a028"),
        ("a\tb\u202ec", "a\ufffdb\ufffdc"),
    ],
)
def test_cell(value, expected):
    assert cell(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (0.1, 0.1),
        ((1, 6, 28), "1 x 6 x 28"),
        ("conv", "conv"),
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("\t=1", "\ufffd=1"),
    ],
)
def test_csv_cell(value, expected):
    assert csv_cell(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (2.5, "2.5 s"),
        (0.0565, "56.5 ms"),
        (1.928e-6, "1.928 µs"),
        (4e-10, "0.4 ns"),
        (0.001, "1 ms"),
    ],
)
def test_duration(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_text_as_it_is(name):
    (_, inline, _) = markdown_it.MarkdownIt("commonmark").parse(f"x {markdown(name)} x")
    assert [
        token.type for token in inline.children if token.type not in ("text", "text_special")
    ] == []
    assert "".join(token.content for token in inline.children) == f"x {name} x"


def test_short():
    assert short("conv1") == "conv1"
    assert short("a" * 22) == "a" * 22
    assert short("/model/layer1/block0/conv1/Conv") == "/model/…ck0/conv1/Conv"
    assert len(short("x" * 500)) == 22


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Streaming pipeline", "streaming-pipeline"),
        ("../../etc", "etc"),
        ("<>", "section"),
        ("devices-layers", "devices-layers"),
    ],
)
def test_slug(text, expected):
    assert slug(text) == expected


def test_clean_keeps_letters_of_all_scripts():
    assert clean("größe 大きさ\n") == "größe 大きさ\ufffd"
