"""`Study.refine`: events, programs and RTL agree where they describe the same hardware."""

from typing import ClassVar

import numpy as np
import pytest

import hwsim
from hwsim.data import bundled
from hwsim.explore import refine


@pytest.fixture(scope="module")
def quantized():
    with np.load(bundled("digits/images.npz")) as data:
        images = data["calibration" if "calibration" in data else "images"]
    network = hwsim.load(bundled("digits/digits.onnx"))
    return hwsim.quantize(network, calibration=images[:32].astype(np.float32) / 255)


def explore(network, table, **options):
    space = {"objectives": ["latency", "dsp"], **table}
    return hwsim.explore(network, space, workers=1, **options)


def test_a_pipeline_at_every_fidelity(quantized, tmp_path):
    table = {"streaming": {"multipliers": [20, 60]}}
    study = explore(quantized, table, store=tmp_path / "a.db")
    study.refine(2)
    knee = study.knee
    refined = knee["refined"]
    # 160 bytes a cycle: memory does not limit, and all three are the same pipeline.
    assert refined["events"]["cycles"] == refined["rtl"]["cycles"]
    assert refined["rtl"]["latency_s"] == knee["latency_s"]
    assert refined["rtl"]["mismatches"] == 0
    assert refined["synthesis"] == {"problem": "synthesis needs a device in the space"}
    assert set(study.refinements["fidelity"]) == {"events", "rtl", "synthesis"}
    again = explore(quantized, table, store=tmp_path / "a.db")
    again.refine(2)
    assert again.refined == study.refined


class Result:
    """As of `hwsim.synth.synthesize`."""

    lut, ff, dsp, bram = 10, 20, 3, 4
    problems = ()
    tools: ClassVar = {"yosys": "Yosys 1", "nextpnr-ecp5": "nextpnr 2"}

    def __init__(self, fmax_hz):
        self.fmax_hz = fmax_hz


def test_a_systolic_accelerator_at_every_fidelity(quantized, monkeypatch):
    sizes = {"rows": 4, "cols": 4, "buffer_bytes": 65536, "accumulator_rows": 256}
    asked = {}

    def synthesize(design, part, **options):
        asked.update(options, part=part, config=design.config)
        return Result(None)

    monkeypatch.setattr("hwsim.synth.synthesize", synthesize)
    monkeypatch.setattr(refine.shutil, "which", lambda name: None)
    table = {"device": "ecp5-85f", "clock_mhz": 50, "systolic": sizes}
    study = explore(quantized, table, refine=1)
    refined = study.knee["refined"]
    assert refined["program"]["cycles"] == refined["rtl"]["cycles"]
    assert refined["rtl"]["mismatches"] == 0
    # Where instructions come from the same memory.
    assert 1 <= refined["events"]["cycles"] / refined["program"]["cycles"] <= 1.05
    assert study.knee["latency_s"] == pytest.approx(refined["rtl"]["latency_s"], rel=0.05)
    config = hwsim.Systolic(**sizes)
    assert asked == {"part": "ecp5-85f", "placed": False, "target_hz": 50e6, "config": config}
    assert refined["synthesis"] == {
        **{"lut": 10, "ff": 20, "dsp": 3, "bram": 4, "tools": "Yosys 1, nextpnr 2"},
        "problem": "not placed: more than 6,000 tables, and no native nextpnr",
    }
    report = hwsim.report(study)
    assert set(report.sections[0].tables) == {"front", "refined"}


def test_what_is_not_built_says_so():
    network = hwsim.load(bundled("digits/digits.onnx"))
    table = {"systolic": {"rows": 4, "cols": 4, "dataflow": "nvdla", "operand_bits": 16}}
    study = explore(network, table, refine=1)
    assert study.knee["refined"]["rtl"]["problem"] == (
        "an array with the dataflow nvdla and 16 bits is not built; "
        "weight-stationary with 8 bits is"
    )


@pytest.mark.parametrize(
    ("limit", "fmax_hz", "problem"),
    [
        (6000, 60e6, None),
        (6000, 40e6, "the clock is 50 MHz, more than nextpnr reaches"),
        (100, None, "not placed: more than 100 tables, and no native nextpnr"),
    ],
)
def test_synthesis_says_what_was_at_work(quantized, monkeypatch, limit, fmax_hz, problem):
    asked = {}

    def synthesize(design, part, **options):
        asked.update(options, part=part)
        return Result(fmax_hz)

    monkeypatch.setattr("hwsim.synth.synthesize", synthesize)
    monkeypatch.setattr(refine, "PLACED_LUTS", limit)
    monkeypatch.setattr(refine.shutil, "which", lambda name: None)
    point = {"architecture": "streaming", "multipliers": 20, "device": "ecp5-45f", "clock_mhz": 50}
    found = refine.FIDELITIES["synthesis"](quantized, None, point)
    assert asked == {"part": "ecp5-45f", "placed": limit > 100, "target_hz": 50e6}
    assert found["tools"] == "Yosys 1, nextpnr 2"
    assert found.get("problem") == problem
    assert found.get("fmax_hz") == fmax_hz
    assert found["lut"] == 10
