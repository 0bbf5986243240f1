"""Control, status and performance counters of the systolic accelerator."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.blocks.systolic.isa import ENGINES
from hwsim.blocks.systolic.registers import (
    ADDRESS_BITS,
    BUSY,
    COUNTERS,
    ERROR,
    FINISHED,
    REGISTERS,
)
from hwsim.rtl.axi import Axi4Lite, Response
from hwsim.rtl.unit import choose

__all__ = ["Control", "control_port"]

_WORD = 32
# Words from one register to the next are 4 bytes.
_INDEX = slice(2, ADDRESS_BITS)


def control_port():
    """Signature of the port by which a processor reaches the registers: a manager's."""
    return Axi4Lite(data_bits=_WORD, address_bits=ADDRESS_BITS)


class Control(wiring.Component):
    """The registers of `hwsim.blocks.systolic.registers` on AXI4-Lite.

    A write is taken when address and data are both there; ``start`` follows in the next cycle, and
    so does each answer. Accesses that are not in the table are answered with SLVERR. Reading the
    low word of a counter keeps its high word for the next read, so that the two belong together.
    Counters count from a start to the end of the program and are cleared by the next start.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    bus : in, `control_port`
    irq : out
        Interrupt: a program has finished.
    start : out
        A pulse; only while ``busy`` is low.
    address : out, ``config.address_bits``
        Of the program.
    busy, finished, error : in
        See `hwsim.rtl.systolic.sequencer.Sequencer`; each engine may raise ``error`` as well.
    active, waiting, done : in, 4 bits
        Of the engines.
    starved : in
        Of the matrix engine.
    read, written : in
        A word was transferred at the memory port.
    """

    def __init__(self, config):
        self._config = config
        engines = len(ENGINES)
        super().__init__(
            {
                "bus": In(control_port()),
                "irq": Out(1),
                "start": Out(1),
                "address": Out(config.address_bits),
                "busy": In(1),
                "finished": In(1),
                "error": In(1),
                "active": In(engines),
                "waiting": In(engines),
                "done": In(engines),
                "starved": In(1),
                "read": In(1),
                "written": In(1),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        self._finished = Signal()
        self._error = Signal()
        self._enable = Signal()
        with m.If(self.start):
            m.d.sync += [self._finished.eq(0), self._error.eq(0)]
        self._write(m)
        self._read(m, self._count(m))
        m.d.comb += self.irq.eq(self._finished & self._enable)
        # Events win over a clear in the same cycle.
        with m.If(self.finished):
            m.d.sync += self._finished.eq(1)
        with m.If(self.error):
            m.d.sync += self._error.eq(1)
        return m

    def _write(self, m):
        aw, w, b = self.bus.aw, self.bus.w, self.bus.b
        taken = Signal()
        low = Signal(_WORD)
        m.d.comb += [
            taken.eq(aw.valid & w.valid & (~b.valid | b.ready)),
            aw.ready.eq(taken),
            w.ready.eq(taken),
            low.eq(Mux(w.payload.strb[0], w.payload.data, 0)),
        ]
        m.d.sync += self.start.eq(0)
        with m.If(b.ready):
            m.d.sync += b.valid.eq(0)
        with m.If(taken):
            m.d.sync += [b.valid.eq(1), b.payload.resp.eq(Response.OKAY)]
            index = aw.payload.addr[_INDEX]
            with m.If(index == _index("control")):
                m.d.sync += self.start.eq(low[0] & ~self.busy & ~self.start)
            with m.Elif(index == _index("status")):
                with m.If(low[FINISHED]):
                    m.d.sync += self._finished.eq(0)
                with m.If(low[ERROR]):
                    m.d.sync += self._error.eq(0)
            with m.Elif(index == _index("interrupt")):
                m.d.sync += self._enable.eq(Mux(w.payload.strb[0], low[0], self._enable))
            with m.Elif(index == _index("program")):
                for k in range(0, len(self.address), 8):
                    with m.If(w.payload.strb[k // 8]):
                        m.d.sync += self.address[k : k + 8].eq(w.payload.data[k : k + 8])
            with m.Else():
                m.d.sync += b.payload.resp.eq(Response.SLVERR)

    def _count(self, m):
        """The counters, in the order of `COUNTERS`."""
        beat = self.config.axi_bytes
        steps = {"cycles": self.busy}
        for number, engine in enumerate(ENGINES):
            steps[f"{engine}_active"] = self.active[number]
            steps[f"{engine}_waiting"] = self.waiting[number]
            steps[f"{engine}_completed"] = self.done[number]
        steps["matrix_starved"] = self.starved
        steps["bytes_read"] = Mux(self.read, beat, 0)
        steps["bytes_written"] = Mux(self.written, beat, 0)
        counters = [Signal(2 * _WORD, name=name) for name in COUNTERS]
        for name, counter in zip(COUNTERS, counters, strict=True):
            m.d.sync += counter.eq(Mux(self.start, 0, counter + steps[name]))
        return counters

    def _read(self, m, counters):
        ar, r = self.bus.ar, self.bus.r
        index = ar.payload.addr[_INDEX]
        status = Signal(_WORD)
        counter = Signal(2 * _WORD)
        high = Signal(_WORD)
        first = _index(COUNTERS[0])
        number = Signal(range(len(counters)))
        m.d.comb += [
            ar.ready.eq(~r.valid | r.ready),
            status[BUSY].eq(self.busy | self.start),
            status[FINISHED].eq(self._finished),
            status[ERROR].eq(self._error),
            number.eq(index[1:] - first // 2),
            counter.eq(choose(number, counters)),
        ]
        with m.If(r.ready):
            m.d.sync += r.valid.eq(0)
        with m.If(ar.valid & ar.ready):
            m.d.sync += [r.valid.eq(1), r.payload.resp.eq(Response.OKAY), r.payload.data.eq(0)]
            with m.If((index >= first) & (index < first + 2 * len(counters))):
                m.d.sync += r.payload.data.eq(Mux(index[0], high, counter[:_WORD]))
                with m.If(~index[0]):
                    m.d.sync += high.eq(counter[_WORD:])
            with m.Elif(index == _index("status")):
                m.d.sync += r.payload.data.eq(status)
            with m.Elif(index == _index("interrupt")):
                m.d.sync += r.payload.data.eq(self._enable)
            with m.Elif(index == _index("program")):
                m.d.sync += r.payload.data.eq(self.address)
            with m.Else():
                m.d.sync += r.payload.resp.eq(Response.SLVERR)


def _index(name):
    """Number of the first word of a register."""
    return REGISTERS[name].offset // (_WORD // 8)
