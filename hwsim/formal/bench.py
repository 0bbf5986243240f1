"""What proofs are made of: a component between free streams, the contract, scoreboards."""

from functools import cached_property

from amaranth.back import rtlil
from amaranth.hdl import (
    Assert,
    Assume,
    Const,
    Cover,
    Elaboratable,
    Fragment,
    MemoryInstance,
    Module,
    Mux,
    Signal,
    Value,
)

__all__ = ["Bench", "Probe", "Scoreboard", "count_of", "holds_if", "modulo"]


class Probe(Elaboratable):
    """A component whose inner signals and memories can be read, unchanged otherwise.

    It stands as a submodule in the component's place. Helper invariants of an induction speak of
    registers that no port shows.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component
    """

    def __init__(self, component):
        self._fragment = Fragment.get(component, None)

    def elaborate(self, platform):
        """The component's own fragment."""
        return self._fragment

    def part(self, *path):
        """The fragment of a submodule, by the names on the way to it."""
        fragment = self._fragment
        for name in path:
            fragment = fragment.find_subfragment(name)
        return fragment

    def signal(self, *path):
        """The signal of a name: the names of submodules on the way to it, then its own.

        Raises
        ------
        KeyError
            If there is none, or more than one.
        """
        *parts, name = path
        found = {}
        for statements in self.part(*parts).statements.values():
            for statement in statements:
                for signal in [*statement._lhs_signals(), *statement._rhs_signals()]:
                    if signal.name == name:
                        found[id(signal)] = signal
        if len(found) != 1:
            raise KeyError(f"{len(found)} signals are named {'.'.join(path)}")
        return next(iter(found.values()))

    def count(self, *path):
        """As `signal`; 0 for a counter that counts to 0 and is left out."""
        try:
            return self.signal(*path)
        except KeyError:
            return Const(0, 1)


class Bench(Elaboratable):
    """A component, free to be driven in any way that its assumptions allow.

    All state begins anew when the reset is high, that of the bench included: what is proven holds
    for resets at any time too.

    Parameters
    ----------
    component : amaranth.lib.wiring.Component

    Members
    -------
    m : Module
        Holds all that a proof adds.
    probe : Probe
    claims, cases : list of str
        What is asserted, and what can happen, in order.
    """

    def __init__(self, component):
        self.m = Module()
        self.component = component
        self.probe = Probe(component)
        self.m.submodules.dut = self.probe
        self.claims = []
        self.cases = []
        self._free = []

    def elaborate(self, platform):
        """The module that holds the component and the proof."""
        return self.m

    @cached_property
    def rtlil(self):
        """Text of the top module ``top``, whose inputs are free; the bench is closed with it."""
        return rtlil.convert(self, name="top", ports=self._free)

    def free(self, name, shape=1):
        """A signal that takes any value in any cycle."""
        signal = Signal(shape, name=name)
        self._free.append(signal)
        return signal

    def fixed(self, name, shape=1):
        """A signal that takes any value and keeps it (until the next reset)."""
        signal, known = self.free(name, shape), Signal(name=f"{name}_known")
        kept = Signal(shape, name=f"{name}_kept")
        self.m.d.sync += [kept.eq(signal), known.eq(1)]
        self.assume(~known | (signal == kept))
        return signal

    def claim(self, text, condition):
        """Assert a condition in each cycle."""
        flag = Signal(name=f"claim_{len(self.claims)}")
        self.m.d.comb += [flag.eq(condition), Assert(flag)]
        self.claims.append(text)

    def happens(self, text, condition):
        """Say that a condition can hold: a proof without such cases may hold for no reason."""
        flag = Signal(name=f"case_{len(self.cases)}")
        self.m.d.comb += [flag.eq(condition), Cover(flag)]
        self.cases.append(text)

    def assume(self, condition):
        """Restrict what is free."""
        self.m.d.comb += Assume(condition)

    def before(self, value, name, init=0):
        """``value`` in the cycle before; ``init`` after a reset."""
        value = Value.cast(value)
        register = Signal(len(value), name=name, init=init)
        self.m.d.sync += register.eq(value)
        return register

    def source(self, stream, name="i"):
        """Offer any beats by the contract; returns whether one moves."""
        valid, ready = self.free(f"{name}_offered"), stream.ready
        payload = self.free(f"{name}_beat", len(Value.cast(stream.payload)))
        self.m.d.comb += [stream.valid.eq(valid), Value.cast(stream.payload).eq(payload)]
        self.assume(self._kept(stream, name))
        return valid & ready

    def sink(self, stream, name="o"):
        """Take beats at any time; claims the contract. Returns whether a beat moves."""
        ready = self.free(f"{name}_wanted")
        self.m.d.comb += stream.ready.eq(ready)
        self.claim(f"{name}: a beat offered is held until it is taken", self._kept(stream, name))
        return stream.valid & ready

    def _kept(self, stream, name):
        waits = self.before(stream.valid & ~stream.ready, f"{name}_waits")
        payload = self.before(stream.payload, f"{name}_before")
        return ~waits | (stream.valid & (Value.cast(stream.payload) == payload))

    def word(self, address, *path):
        """The word at ``address`` of a memory, read without a clock."""
        memory = self.probe.part(*path)
        assert isinstance(memory, MemoryInstance)
        data = memory._data
        number = len(self._free) + len(self.claims) + len(memory._read_ports)
        where = Signal((data.depth - 1).bit_length(), name=f"{path[-1]}_{number}_address")
        value = Signal(data.shape, name=f"{path[-1]}_{number}_word")
        memory.read_port(domain="comb", addr=where, data=value, en=Const(1), transparent_for=())
        self.m.d.comb += where.eq(address)
        return value


class Scoreboard:
    """Every beat that enters leaves once, in order, as it was.

    Any one beat can be marked when it enters: its payload is kept, and the beats before it are
    counted. What leaves when none is before it any more has to be that beat. Since the mark is
    free, this holds for all beats.

    Parameters
    ----------
    bench : Bench
    name : str
    enters, leaves : value
        Whether a beat moves in or out in this cycle.
    what : value
        Of which the beat that leaves has to have the same.
    beat : value
        What leaves.
    offered : value
        Whether a beat is there to leave.
    most : int
        Beats that may be inside at a time.

    Members
    -------
    count, ahead, marked, kept, begins : Signal
        Beats inside; of them, those before the marked one; whether one is marked; its payload;
        whether one is marked in this cycle.
    """

    def __init__(self, bench, name, *, enters, what, leaves, beat, offered, most):
        m, what = bench.m, Value.cast(what)
        self.count = count = Signal(range(most + 2), name=f"{name}_count")
        self.ahead = ahead = Signal(range(most + 2), name=f"{name}_ahead")
        self.marked = marked = Signal(name=f"{name}_marked")
        self.kept = kept = Signal(len(what), name=f"{name}_marked_beat")
        self.begins = begins = Signal(name=f"{name}_marks")
        m.d.comb += begins.eq(enters & bench.free(f"{name}_mark") & ~marked)
        m.d.sync += count.eq(count + enters - leaves)
        with m.If(marked & leaves):
            m.d.sync += [marked.eq(ahead != 0), ahead.eq(ahead - 1)]
        with m.Elif(begins):
            m.d.sync += [marked.eq(1), kept.eq(what), ahead.eq(count - leaves)]
        bench.claim(f"{name}: no beat leaves that has not entered", ~offered | (count != 0))
        bench.claim(f"{name}: never holds more than its depth", count <= most)
        bench.claim(f"{name}: the marked beat is inside", ~marked | (ahead < count))
        bench.happens(f"{name}: a marked beat leaves", marked & (ahead == 0) & leaves)
        bench.claim(
            f"{name}: each beat leaves once, in order, as it was",
            ~(marked & (ahead == 0) & offered) | (Value.cast(beat) == kept),
        )


def holds_if(condition, then):
    """Whether ``then`` holds, if the condition does."""
    return ~Value.cast(condition).bool() | Value.cast(then).bool()


def modulo(value, size):
    """``value % size`` for a value less than twice the size."""
    return Mux(value >= size, value - size, value)


def count_of(bits):
    """How many of some bits are high."""
    return sum(bits, Const(0, 1))
