"""How `benchmarks.systolic` counts."""

import numpy as np
import pytest

from benchmarks.systolic_measure import shape, utilization
from benchmarks.systolic_scale_sim import can_run, missing
from hwsim.blocks.systolic.config import Systolic
from hwsim.blocks.systolic.isa import Opcode
from hwsim.compiler import compile_network
from hwsim.models.dataflow.systolic import layer_table
from hwsim.validation.networks import NetworkBuilder

SIZE = 8


@pytest.fixture(scope="module")
def case():
    """Two convolutions with a pool in between."""
    b = NetworkBuilder(np.random.default_rng(0), (8, 17, 17))
    pooled = b.max_pool(b.conv(b.input, 16, pads=(1, 1, 1, 1)))
    network = b.build(b.conv(pooled, 8, (3, 3), strides=(2, 2)))
    program = compile_network(network, Systolic(rows=SIZE, cols=SIZE))
    timing = program.timing()
    return program, timing, layer_table(program, timing).to_dict("records")


def test_utilization(case):
    program, timing, layers = case
    found = utilization(program, timing, layers)
    first, second = (row for row in layers if row["op"] == "Conv")
    folds = [k for k, i in enumerate(program.instructions) if i.opcode == Opcode.CONVOLVE]
    span = timing.done[folds].max() + 1 - timing.started[folds].min()
    elements = SIZE * SIZE
    assert found["network"] == (first["macs"] + second["macs"]) / elements / timing.cycles
    assert found["convolutions"]["span_cycles"] == span
    assert found["convolutions"]["span"] == (first["macs"] + second["macs"]) / (span * elements)
    # The first one fills the array; of the second one nothing can begin before the pool.
    assert found["convolutions"]["busy_cycles"] == 2 * 9 * 17 * 17 + 2 * 9 * 9
    assert found["without_first"]["busy_cycles"] == 2 * 9 * 9
    assert found["without_first"]["macs"] == second["macs"]
    assert found["without_first"]["busy_cycles"] < found["without_first"]["span_cycles"] < span


def test_shape(case):
    program, _, _ = case
    assert shape(program.network, 0) == {}
    assert shape(program.network, 2) == {}
    # 8 x 8 pixels, of which a kernel of 3 with a stride of 2 leaves a rest.
    assert shape(program.network, 3) == {
        "m": 9,
        "k": 16 * 9,
        "n": 8,
        "groups": 1,
        "map": [16, 7, 7],
        "kernel": [3, 3],
        "strides": [2, 2],
        "dilations": [1, 1],
    }
    assert can_run(shape(program.network, 3))
    assert not can_run({})


def test_scale_sim_is_missing(tmp_path):
    remedy = "pip install scalesim==3.0.0 'numpy<2' in an environment of its own"
    text = f"SCALE-Sim was not run: no --scalesim-python was given ({remedy})."
    assert missing(None) == text
    path = tmp_path / "python"
    assert (
        missing(path) == f"SCALE-Sim was not run: {path} does not start: No such file or directory."
    )
