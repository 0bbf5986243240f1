"""`Study.refine`: events, programs and RTL agree where they describe the same hardware."""

import numpy as np
import pytest

import hwsim
from hwsim.data import bundled


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


def test_a_systolic_accelerator_at_every_fidelity(quantized):
    table = {"systolic": {"rows": 4, "cols": 4, "buffer_bytes": 65536, "accumulator_rows": 256}}
    study = explore(quantized, table, refine=1)
    refined = study.knee["refined"]
    assert refined["program"]["cycles"] == refined["rtl"]["cycles"]
    assert refined["rtl"]["mismatches"] == 0
    # The closed form equals the timeline of events to the picosecond.
    assert round(refined["events"]["latency_s"] * 1e12) == round(study.knee["latency_s"] * 1e12)
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
