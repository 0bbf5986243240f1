"""Verilog of the whole accelerator."""

import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.rtl.systolic.design import AxiAccelerator
from hwsim.rtl.verilog import convert
from tests.rtl.verilog_bench import lint, verilators


def verilog(rows, cols):
    config = Systolic(rows=rows, cols=cols, buffer_bytes=1 << 16)
    return convert(AxiAccelerator(config), f"systolic_{rows}x{cols}")


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 5), (8, 8)])
def test_lint(rows, cols, tmp_path):
    """No warning in any version, and none is waived."""
    if not verilators():
        pytest.skip("no Verilator here")
    made = verilog(rows, cols)
    assert not any("lint_off" in text for text in made.files.values())
    for name, (command, environment) in verilators().items():
        folder = tmp_path / name
        folder.mkdir()
        assert lint(made, folder, command, environment) == ""


def test_size():
    """A block that is used many times is one module, and what connects them is short."""
    made = verilog(16, 16)
    assert len(made.files) <= 50
    assert made.lines < 6250
    assert max(text.count("\n") for text in made.files.values()) < 600


def test_products():
    """Nothing is multiplied but codes and what they are scaled by: synthesis makes DSPs of it."""
    made = verilog(4, 4)
    found = {name: count for name, text in made.files.items() if (count := text.count(" * "))}
    assert found == {
        "systolic_4x4_weight_stationary_element.v": 1,
        "systolic_4x4_vector_lane.v": 3,  # a tap by its factor, a sum in two parts by its scale
    }
