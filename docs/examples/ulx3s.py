"""A streaming accelerator on a ULX3S board: codes of images in by UART, codes of results out.

    pip install 'hwsim[synth]' amaranth-boards
    python docs/examples/ulx3s.py digits_int8.onnx --cycles-per-image 20000

builds ``build/top.bit`` for a board with an LFE5U-85F, with the YoWASP tools, and
``openFPGALoader -b ulx3s build/top.bit`` loads it. The board then takes the codes of an image on
its USB serial port (1,000,000 baud, 8N1), a byte each, pixel by pixel, the channels of a pixel one
after another, and answers with the codes of the result in the same order. LED 0 lights while an
image is coming in.
"""

import argparse
import os

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import io, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

import hwsim
from hwsim.rtl.streaming import Pipeline

BAUD = 1_000_000


class Receiver(wiring.Component):
    """Bytes from a serial line; a byte that nobody takes in time is lost."""

    def __init__(self, divisor):
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.rx = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(2 * self._divisor))
        left = Signal(range(10))
        bits = Signal(8)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If((left == 0) & ~line):  # the first bit's middle is one and a half bits away
            m.d.sync += [left.eq(9), timer.eq(self._divisor + self._divisor // 2 - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(left != 0):
            m.d.sync += [left.eq(left - 1), timer.eq(self._divisor - 1)]
            with m.If(left == 1):  # in the middle of the stop bit
                m.d.sync += [self.o.payload.eq(bits), self.o.valid.eq(1)]
            with m.Else():
                m.d.sync += bits.eq(Cat(bits[1:], line))
        return m


class Transmitter(wiring.Component):
    """Bytes to a serial line."""

    def __init__(self, divisor):
        self._divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self._divisor))
        left = Signal(range(11))
        bits = Signal(10, init=1)
        m.d.comb += [self.i.ready.eq(left == 0), self.tx.eq(bits[0])]
        with m.If(left == 0), m.If(self.i.valid):
            m.d.sync += [bits.eq(Cat(0, self.i.payload, 1)), left.eq(10)]
            m.d.sync += timer.eq(self._divisor - 1)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [bits.eq(Cat(bits[1:], 1)), left.eq(left - 1)]
            m.d.sync += timer.eq(self._divisor - 1)
        return m


class SerialAccelerator(wiring.Component):
    """A pipeline between two serial lines.

    Parameters
    ----------
    plan : StreamingPlan
        Of a network with 8-bit codes.
    divisor : int
        Clock cycles in a bit of the serial lines.
    """

    def __init__(self, plan, divisor):
        self._plan = plan
        self._divisor = divisor
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "receiving": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = Receiver(self._divisor)
        m.submodules.pipeline = pipeline = Pipeline(self._plan)
        m.submodules.transmitter = transmitter = Transmitter(self._divisor)
        m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]

        # Bytes gather in a beat.
        lanes = self._plan.input.lanes
        beat = Signal(8 * lanes)
        count = Signal(range(lanes + 1))
        m.d.comb += [
            Value.cast(pipeline.i.payload).eq(beat),
            pipeline.i.valid.eq(count == lanes),
            receiver.o.ready.eq(count != lanes),
        ]
        with m.If(receiver.o.valid & receiver.o.ready):
            m.d.sync += [beat.eq(Cat(beat, receiver.o.payload)[8:]), count.eq(count + 1)]
        with m.If(pipeline.i.valid & pipeline.i.ready):
            m.d.sync += count.eq(0)

        # A beat of results leaves byte by byte.
        lanes = self._plan.output.lanes
        place = Signal(range(lanes))
        m.d.comb += [
            transmitter.i.payload.eq(Value.cast(pipeline.o.payload).word_select(place, 8)),
            transmitter.i.valid.eq(pipeline.o.valid),
            pipeline.o.ready.eq(transmitter.i.ready & (place == lanes - 1)),
        ]
        with m.If(transmitter.i.valid & transmitter.i.ready):
            m.d.sync += place.eq(Mux(place == lanes - 1, 0, place + 1))

        pixels = Signal(range(self._plan.input.beats))
        with m.If(pipeline.i.valid & pipeline.i.ready):
            last = pixels == self._plan.input.beats - 1
            m.d.sync += pixels.eq(Mux(last, 0, pixels + 1))
        m.d.comb += self.receiving.eq(pixels != 0)
        return m


class Top(Elaboratable):
    """The accelerator at the board's USB serial port."""

    def __init__(self, plan):
        self._plan = plan

    def elaborate(self, platform):
        m = Module()
        divisor = round(platform.default_clk_frequency / BAUD)
        m.submodules.accelerator = accelerator = SerialAccelerator(self._plan, divisor)
        uart = platform.request("uart", dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.submodules.led = led = io.Buffer("o", platform.request("led", 0, dir="-"))
        m.d.comb += [
            accelerator.rx.eq(rx.i),
            tx.o.eq(accelerator.tx),
            led.o.eq(accelerator.receiving),
        ]
        return m


def main():
    """Build the bitstream."""
    from amaranth_boards.ulx3s import ULX3S_85F_Platform

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="quantized ONNX file")
    parser.add_argument("--cycles-per-image", type=int, default=20000)
    arguments = parser.parse_args()
    # Amaranth takes the tools' names from the environment.
    for tool in ("yosys", "nextpnr-ecp5", "ecppack"):
        os.environ.setdefault(tool.replace("-", "_").upper(), f"yowasp-{tool}")
    network = hwsim.load(arguments.model)
    design = hwsim.build(network, hwsim.Streaming(cycles_per_image=arguments.cycles_per_image))
    ULX3S_85F_Platform().build(Top(design.plan))


if __name__ == "__main__":
    main()
