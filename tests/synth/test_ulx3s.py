"""The example of a board: it computes what the reference does, and Amaranth builds it."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwsim.models.reference.integer import run
from hwsim.validation.networks import images_for

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ulx3s.py"
DIVISOR = 6


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("ulx3s_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_images_by_serial_line(design, example):
    image = images_for(design.network, 1, 5)
    expected = run(design.network, image)[design.network.outputs[0].name]
    sent = design.plan.input.to_beats(image).reshape(-1).astype(int) & 0xFF
    top = example.SerialAccelerator(design.plan, DIVISOR)
    received = []

    async def send(ctx):
        for byte in sent:
            for bit in [0, *(int(byte) >> k & 1 for k in range(8)), 1]:
                ctx.set(top.rx, bit)
                await ctx.tick().repeat(DIVISOR)

    async def receive(ctx):
        for _ in range(expected.size):
            for cycle in range(20000):
                if not ctx.get(top.tx):
                    break
                await ctx.tick()
                assert cycle < 19999, "nothing comes"
            await ctx.tick().repeat(DIVISOR + DIVISOR // 2)
            byte = 0
            for k in range(8):
                byte |= ctx.get(top.tx) << k
                await ctx.tick().repeat(DIVISOR)
            assert ctx.get(top.tx)
            received.append(byte)

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    wanted = design.plan.output.to_beats(expected).reshape(-1).astype(int) & 0xFF
    assert np.array_equal(received, wanted)


def test_board(design, example):
    boards = pytest.importorskip("amaranth_boards.ulx3s")
    plan = boards.ULX3S_85F_Platform().build(example.Top(design.plan), do_build=False)
    text = plan.files["top.il"]
    text = text if isinstance(text, str) else text.decode()
    assert "pipeline" in text
    assert "85k" in "".join(str(part) for part in plan.files.values())
