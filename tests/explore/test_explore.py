"""`explore`: numbers, front, knee, reasons."""

import pickle

import numpy as np
import pytest

import hwsim
from hwsim.blocks.streaming import Streaming, plan_streaming
from hwsim.blocks.systolic.config import Systolic
from hwsim.compiler.compile import compile_network
from hwsim.data import bundled
from hwsim.explore.evaluate import evaluate, make_job
from hwsim.explore.front import knee, pareto
from hwsim.models import devices
from hwsim.models.cost import cost
from hwsim.models.estimate import estimate
from hwsim.models.programs import Programs
from hwsim.network.lower import lower
from hwsim.networks import network as known

SPACE = {
    "objectives": ["throughput", "lut"],
    "device": ["ecp5-25f", "ecp5-85f"],
    "memory_gb_per_s": [0.5, 4],
    "batch": [1, 3],
    "systolic": {
        "rows": [4, 8, 16],
        "cols": [2, 8, 16],
        "buffer_bytes": [64, 65536],
        "dataflow": ["weight-stationary", "row-stationary"],
        "accumulator_rows": 256,
    },
    "streaming": {"multipliers": [1, 100, 150]},
    "constraints": {"max_latency_ms": 20, "min_frames_per_second": 100},
}


@pytest.fixture(scope="module")
def digits():
    return hwsim.load(bundled("digits/digits.onnx"))


@pytest.fixture(scope="module")
def quantized():
    with np.load(bundled("digits/images.npz")) as data:
        images = data["calibration" if "calibration" in data else "images"]
    network = hwsim.load(bundled("digits/digits.onnx"))
    return hwsim.quantize(network, calibration=images[:32].astype(np.float32) / 255)


@pytest.fixture(scope="module")
def study(quantized):
    return hwsim.explore(quantized, SPACE, workers=1)


def sizes(row):
    return {
        name: int(getattr(row, name))
        for name in ("rows", "cols", "buffer_bytes", "accumulator_rows")
    }


def dominated(values):
    """The definition, pair by pair."""
    return [
        any((other <= row).all() and (other < row).any() for other in values)
        or any((other == row).all() for other in values[:k])
        for k, row in enumerate(values)
    ]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_front_by_definition(seed, count):
    rng = np.random.default_rng(seed)
    # Small integers, so that many are equal.
    values = rng.integers(0, 6, (200, count)).astype(float)
    expected = np.flatnonzero(~np.array(dominated(values)))
    assert pareto(values).tolist() == expected.tolist()
    values = rng.normal(size=(200, count))
    expected = np.flatnonzero(~np.array(dominated(values)))
    assert pareto(values).tolist() == expected.tolist()


def test_front_of_nothing():
    assert pareto(np.zeros((0, 2))).tolist() == []


def test_knee_lies_farthest_below_the_line():
    assert knee([[0, 10], [1, 2], [5, 1.5], [10, 0]]) == 1


def test_arrays_have_the_numbers_of_estimates(study, quantized):
    table = study.frame()
    table = table[(table["dataflow"] == "row-stationary") & table["latency_s"].notna()]
    assert len(table) > 3
    for row in table.itertuples():
        device = devices.array(
            rows=int(row.rows),
            cols=int(row.cols),
            dataflow=row.dataflow,
            clock_hz=float(row.clock_mhz) * 1e6,
            memory_bandwidth=row.memory_gb_per_s * 1e9,
            scratchpad_size=int(row.buffer_bytes),
            accumulator_rows=int(row.accumulator_rows),
        )
        (found,) = estimate(quantized, [device], batch=int(row.batch))
        assert round(row.latency_s * 1e12) == round(found.latency_s * 1e12)
        assert row.throughput_images_per_s == pytest.approx(row.batch / row.latency_s, rel=1e-12)
        assert row.energy_per_image_j == pytest.approx(found.energy_j / row.batch, rel=1e-12)
        cells = cost(Systolic(**sizes(row)))
        assert (row.dsp, row.bram) == (cells.dsp, cells.bram)
        assert (row.lut, row.ff) == pytest.approx((cells.lut, cells.ff), rel=1e-12)


def test_accelerators_have_the_numbers_of_their_programs(study, quantized):
    table = study.frame()
    table = table[(table["dataflow"] == "weight-stationary") & table["latency_s"].notna()]
    assert len(table) > 3
    integer = lower(quantized)
    for row in table.itertuples():
        config = Systolic(**sizes(row))
        (cycles,) = (
            Programs(integer)
            .run(*sizes(row).values(), row.memory_gb_per_s * 1e9 / (row.clock_mhz * 1e6))
            .cycles
        )
        assert row.latency_s == cycles * row.batch / (row.clock_mhz * 1e6)
        assert row.throughput_images_per_s == pytest.approx(row.batch / row.latency_s, rel=1e-12)
        if row.memory_gb_per_s * 10 >= config.axi_bytes:
            assert cycles == pytest.approx(compile_network(integer, config).cycles(), rel=0.15)
        assert study.sources(row.point)["latency_s"] == "closed form of programs"


def test_jobs_go_to_other_processes(study, quantized):
    job = make_job(quantized, study.space)
    sent = pickle.loads(pickle.dumps(job))
    assert sent.key == job.key
    numbers = np.arange(0, study.space.blocks[0].stop, 5)
    here, there = evaluate(job, numbers), evaluate(sent, numbers)
    assert all(np.array_equal(here[name], there[name], equal_nan=True) for name in here)


def test_pipelines_have_the_numbers_of_their_plans(study, quantized):
    table = study.frame()
    table = table[(table["architecture"] == "streaming") & table["latency_s"].notna()]
    assert len(table)
    integer = lower(quantized)
    plans = {
        target: plan_streaming(integer, Streaming(multipliers=target))
        for target in table["multipliers"].unique().tolist()
    }
    for row in table.itertuples():
        plan = plans[row.multipliers]
        # 0.5 GB/s are 5 bytes a cycle: more than the pipeline takes.
        assert row.latency_s == plan.cycles(int(row.batch)) / 100e6
        assert row.throughput_images_per_s == 100e6 / plan.interval
        assert row.dsp == cost(plan).dsp


def test_every_rejected_point_has_its_reason(study):
    table = study.frame()
    assert study.points == len(table) == len(study.space)
    assert sum(study.rejected.values()) + study.feasible == study.points
    assert set(study.rejected) >= {
        "the array needs a larger buffer",
        "more dsp than the device has",
        "the folding cannot be reached",
        "more lut than the device has",
    }
    for row in table.itertuples():
        assert bool(row.rejected) == bool(study.why(row.point))
    words = dict.fromkeys(table["rejected"])
    first = {text: int(table[table["rejected"] == text]["point"].iloc[0]) for text in words}
    number = first["the array needs a larger buffer"]
    array = study.space.point(number)
    assert study.why(number) == (
        f"buffer of 64 bytes: an array of {array['rows']} x {array['cols']} needs a larger one"
    )
    assert study.why(first["the folding cannot be reached"]) == "no folding has multipliers = 1"
    point = table[table["point"] == first["more dsp than the device has"]].iloc[0]
    room = {"ecp5-25f": 28, "ecp5-85f": 156}[point["device"]]
    assert study.why(int(point["point"])) == (
        f"needs {point['dsp']:,.0f} dsp, but {point['device']} has {room}"
    )


def test_front_is_the_definition_on_the_feasible_points(study):
    table = study.frame()
    good = table[table["rejected"] == ""]
    assert len(good) == study.feasible > 10
    values = np.stack([-good["throughput_images_per_s"], good["lut"]], axis=1)
    expected = good["point"][~np.array(dominated(values))]
    assert sorted(study.front["point"]) == sorted(expected)
    assert study.knee["point"] in set(expected)
    best = good["throughput_images_per_s"].max()
    assert study.front["throughput_images_per_s"].iloc[0] == best


def test_json_says_where_each_number_is_from(study):
    found = study.to_dict()
    assert found["points"] == study.points
    assert found["points_per_second"] > 0
    for entry in found["front"]:
        numbers = {"latency_s", "throughput_images_per_s", "energy_per_image_j", "utilization"}
        assert numbers <= entry["sources"].keys()
        assert entry["sources"]["latency_s"].startswith("closed form")
        assert entry["sources"]["lut"].startswith("cost view")


def test_cost_adds_up(digits):
    space = {
        "objectives": ["cost", "latency"],
        "device": ["ecp5-25f", "ecp5-85f"],
        "constraints": {"fits": False},
        "cost": {"lut": 0.5, "dsp": 2, "device": {"ecp5-25f": 10, "ecp5-85f": 40}},
        "systolic": {"rows": [4, 8], "cols": [4]},
    }
    table = hwsim.explore(digits, space, workers=1).frame()
    price = table["device"].map({"ecp5-25f": 10.0, "ecp5-85f": 40.0})
    assert np.array_equal(table["cost"], price + 0.5 * table["lut"] + 2 * table["dsp"])


def test_packed_arrays_take_half_the_multipliers_where_they_are_wide_enough(quantized):
    table = {"rows": 8, "cols": 8, "packed": [False, True], "buffer_bytes": 65536}
    found = {
        device: hwsim.explore(
            quantized, {"objectives": ["dsp"], "device": device, "systolic": table}, workers=1
        )
        for device in ("zynq-7020", "ecp5-85f")
    }
    assert found["zynq-7020"].frame()["dsp"].tolist() == [64, 32]
    # 18 x 18 bits: two multipliers for a pair of products, and three for each column's scaling.
    assert found["ecp5-85f"].frame()["dsp"].tolist() == [88, 88]
    assert found["ecp5-85f"].sources(1)["lut"] == "cost view, logic as of the unpacked array"
    assert found["ecp5-85f"].space.point(1)["packed"] is True


def test_without_cells_arrays_may_have_any_size():
    space = {"systolic": {"rows": [300], "cols": [500], "buffer_bytes": [3 << 20]}}
    study = hwsim.explore(known("resnet18"), space, workers=1)
    assert study.feasible == 1
    assert "lut" not in study.frame()


def test_a_float_network_has_no_pipeline(digits):
    with pytest.raises(hwsim.NetworkError) as caught:
        hwsim.explore(digits, {"streaming": {}}, workers=1)
    assert str(caught.value) == (
        "streaming pipelines run integer networks only, and digits is not quantized; quantize it "
        "with hwsim.quantize, or leave the architecture streaming out"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "random"}, "method must be exhaustive, nsga2, tpe, not 'random'"),
        (
            {"method": "exhaustive", "samples": 3},
            "samples go with the methods nsga2 and tpe; exhaustive takes all points",
        ),
        (
            {"workers": 1, "scheduler": "tcp://localhost:1"},
            "give workers or a scheduler, not both: a cluster has its own workers",
        ),
        ({"workers": 0}, "workers must be a positive integer, not 0"),
    ],
)
def test_wrong_options(digits, options, message):
    with pytest.raises(ValueError) as caught:
        hwsim.explore(digits, {"systolic": {"rows": 4, "cols": 4}}, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(("method", "samples"), [("nsga2", 320), ("tpe", 64)])
def test_samplers_repeat_themselves_and_agree_with_all_points(quantized, study, method, samples):
    found = hwsim.explore(quantized, SPACE, method=method, samples=samples, workers=1, seed=3)
    again = hwsim.explore(quantized, SPACE, method=method, samples=64, workers=1, seed=3)
    once = hwsim.explore(quantized, SPACE, method=method, samples=64, workers=1, seed=3)
    assert once.frame().equals(again.frame())
    if method == "nsga2":
        best = study.front["throughput_images_per_s"].max()
        assert found.front["throughput_images_per_s"].max() == best
    # What it found is never better than all there is, and its numbers are the same.
    whole = study.frame().set_index("point")["latency_s"]
    part = found.frame().set_index("point")["latency_s"]
    assert part.equals(whole.loc[part.index])
