"""Arrays outside the design, as seen from a circuit.

The compiled engine knows two cells that reach NumPy arrays, ``hwsim_load`` and ``hwsim_store``.
Amaranth's simulator does not: under the platform `Memories` they become memories of the design.
"""

from amaranth.hdl import Elaboratable, Fragment, Instance, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory, MemoryData
from amaranth.lib.wiring import In, Out

__all__ = ["ADDRESS_BITS", "Load", "Memories", "Store"]

ADDRESS_BITS = 32


class _Access(wiring.Component):
    def __init__(self, name, width, shared, ports):
        if not 1 <= width <= 64:
            raise ValueError(f"width must lie in [1, 64], not {width}")
        self._name = name
        self._width = width
        self._shared = shared
        super().__init__(ports)

    @property
    def name(self):
        return self._name

    @property
    def width(self):
        return self._width

    @property
    def shared(self):
        return self._shared

    @property
    def _parameters(self):
        return {"p_NAME": self.name, "p_WIDTH": self.width, "p_SHARED": int(self.shared)}


class Load(_Access):
    """Reads a buffer.

    Parameters
    ----------
    name : str
        Of the buffer.
    width : int
        Of a word, 1 to 64.
    shared : bool
        Whether all lanes see the same words.

    Members
    -------
    address : in, 32 bits
    data : out, ``width`` bits
        The word before this cycle's stores; 0 beyond the end. No latency.
    """

    def __init__(self, *, name, width, shared):
        ports = {"address": In(ADDRESS_BITS), "data": Out(width)}
        super().__init__(name, width, shared, ports)

    def elaborate(self, platform):
        """`Instance`, or a port of a memory."""
        m = Module()
        if isinstance(platform, Memories):
            platform.accesses.append(self)
        else:
            m.submodules.cell = Instance(
                "hwsim_load", **self._parameters, i_addr=self.address, o_data=self.data
            )
        return m


class Store(_Access):
    """Writes to a buffer, at the end of a cycle.

    Parameters
    ----------
    name, width, shared
        As in `Load`.

    Members
    -------
    address : in, 32 bits
    data : in, ``width`` bits
    enable : in
        Nothing is written beyond the end.
    """

    def __init__(self, *, name, width, shared):
        ports = {"address": In(ADDRESS_BITS), "data": In(width), "enable": In(1)}
        super().__init__(name, width, shared, ports)

    def elaborate(self, platform):
        """`Instance`, or a port of a memory."""
        m = Module()
        if isinstance(platform, Memories):
            platform.accesses.append(self)
        else:
            m.submodules.cell = Instance(
                "hwsim_store",
                **self._parameters,
                i_addr=self.address,
                i_data=self.data,
                i_en=self.enable,
            )
        return m


class Memories:
    """A platform under which buffers are memories, for Amaranth's simulator and one lane.

    Parameters
    ----------
    contents : mapping of buffer name to sequence of int

    Members
    -------
    data : dict of buffer name to MemoryData
        For ``ctx.get(memories.data[name][index])``.
    """

    def __init__(self, contents):
        self.contents = dict(contents)
        self.accesses = []
        self.data = {}

    def fragment(self, component):
        """A component together with the memories of its buffers, for `amaranth.sim.Simulator`."""
        m = Module()
        m.submodules.component = component
        self.add_to(m)
        return Fragment.get(m, self)

    def add_to(self, m):
        """Put the memories into a module, after everything that has buffers.

        The module is to be elaborated by ``Fragment.get(module, memories)``.
        """
        # Elaborated in this order: by then all accesses are known.
        m.submodules.memories = _Bank()


class _Bank(Elaboratable):
    def elaborate(self, platform):
        for access in platform.accesses:
            if access.name not in platform.contents:
                raise ValueError(f"buffer {access.name!r} has no contents")
        m = Module()
        memories = {}
        for access in platform.accesses:
            if access.name not in memories:
                words = [int(word) for word in platform.contents[access.name]]
                # A memory has a word at least; nothing reaches the one that is too many.
                memory = Memory(
                    MemoryData(shape=access.width, depth=max(len(words), 1), init=words)
                )
                memories[access.name] = memory, len(words)
                platform.data[access.name] = memory.data
                m.submodules += memory
            memory, length = memories[access.name]
            inside = access.address < length
            if isinstance(access, Load):
                port = memory.read_port(domain="comb")
                m.d.comb += port.addr.eq(access.address)
                with m.If(inside):
                    m.d.comb += access.data.eq(port.data)
            else:
                port = memory.write_port()
                m.d.comb += [
                    port.addr.eq(access.address),
                    port.data.eq(access.data),
                    port.en.eq(access.enable & inside),
                ]
        return m
