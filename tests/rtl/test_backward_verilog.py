# amaranth: UnusedElaboratable=no
"""Verilog of the units of the backward pass: other simulators agree, cycle by cycle."""

import random

import pytest

from hwsim.rtl.verilog import convert
from tests.sim.circuits import Circuit
from tests.sim.differential import streams, valid_only
from tests.sim.simulators import amaranth, difference, ports_of, verilog_simulators

from .catalogue import Shelf, catalogue

UNITS = (
    "spread",
    "conv_gradient",
    "conv_gradient_depthwise",
    "weight_gradient",
    "weight_gradient_depthwise",
    "weight_gradient_dense",
    "weight_gradient_of_one_word",
    "rounding",
    "combine",
    "update",
    "pool_max_winners",
    "pool_max_winners_unsigned",
    "pool_gradient_max",
    "pool_gradient_max_apart",
    "pool_gradient_average",
    "pool_gradient_average_padded",
    "pool_gradient_sum",
    "pool_global_gradient",
    "relu",
    "relu_gradient",
    "sigmoid_gradient",
    "tanh_gradient",
    "lrn_gradient",
    "lrn_gradient_within",
    "cross_entropy_gradient",
    "cross_entropy_gradient_small",
    "rmse_gradient",
    "rmse_gradient_of_one",
)
CYCLES = 400


@pytest.fixture(scope="module")
def run():
    """All units side by side: their Verilog, and inputs and outputs by Amaranth's simulator.

    Streams stall at random; in the midst of the run there is a reset.
    """
    component = Shelf(catalogue(*UNITS))
    verilog = convert(component, "shelf")
    ports = {name: len(value) for name, value in ports_of(component).items()}
    drives = {
        f"{name}__{part}": part == "ready" if member.flow.name == "Out" else part != "ready"
        for name, member in component.signature.members.items()
        for part in ("payload", "valid", "ready")
    }
    circuit = Circuit(
        0,
        "shelf",
        {name: width for name, width in ports.items() if drives[name]},
        {name: width for name, width in ports.items() if not drives[name]},
        lambda: Shelf(catalogue(*UNITS)),
        "".join(text for name, text in verilog.files.items() if name.endswith(".v")),
    )
    rows, outputs = [], []
    amaranth(circuit, streams(circuit, random.Random(0), CYCLES, 0.2, rows, outputs), outputs)
    return verilog, circuit, rows, valid_only(outputs)


@pytest.mark.parametrize("name", list(verilog_simulators())[:2])
def test_simulators(name, run, tmp_path):
    verilog, circuit, rows, expected = run
    verilog.write(tmp_path)
    # Registers start as anything: first of all a reset.
    reset = [{**dict.fromkeys(circuit.inputs, 0), "rst": 1}] * 2
    found = verilog_simulators()[name](circuit, reset + rows, tmp_path)
    assert difference(expected, valid_only(found[len(reset) :])) is None


def test_every_unit_works(run):
    """Each gives results, before the reset and after it."""
    _, circuit, rows, outputs = run
    for half in (slice(0, CYCLES // 3), slice(CYCLES // 3, CYCLES)):
        for port in circuit.outputs:
            if port.endswith("valid"):
                stream = port.removesuffix("valid")
                moved = sum(
                    out[port] and row[f"{stream}ready"]
                    for row, out in zip(rows[half], outputs[half], strict=True)
                )
                assert moved, port
