"""The unified buffer: byte-wide banks side by side, in sections with a port each way."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.rtl.once import Once

__all__ = ["Buffer", "rotate"]

ADDRESS_BITS = 24


def rotate(m, name, values, amount):
    """``values`` turned by ``amount``: value ``k`` goes to place ``(k + amount) mod n``.

    Their number ``n`` is a power of two, and ``amount`` has as many bits as it takes.
    """
    shape = values[0].shape()
    for bit in range(len(amount)):
        turned = [Signal(shape, name=f"{name}_{bit}_{place}") for place in range(len(values))]
        for place, value in enumerate(turned):
            source = (place - (1 << bit)) % len(values)
            m.d.comb += value.eq(Mux(amount[bit], values[source], values[place]))
        values = turned
    return values


class Bank(wiring.Component):
    """One byte of each word of the buffer, in all sections.

    Parameters
    ----------
    sections, depth : int

    Members
    -------
    feed, vector, store : in
        Address for each reader: section, then place in it.
    feed_o, vector_o, store_o : out, signed(8)
        A cycle later, if no other reader addresses that section at the same time.
    feed_en, vector_en, store_en : in
    result, load : in
        Address for each writer.
    result_en, load_en : in
    result_i, load_i : in, signed(8)
    """

    READERS = ("feed", "vector", "store")
    WRITERS = ("result", "load")

    def __init__(self, *, sections, depth):
        self._sections = sections
        self._depth = depth
        bits = (sections * depth - 1).bit_length()
        ports = {}
        for name in self.READERS:
            ports |= {name: In(bits), f"{name}_en": In(1), f"{name}_o": Out(signed(8))}
        for name in self.WRITERS:
            ports |= {name: In(bits), f"{name}_en": In(1), f"{name}_i": In(signed(8))}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        place_bits = (self._depth - 1).bit_length()
        outputs = []
        for section in range(self._sections):

            def here(name, section=section):
                return getattr(self, f"{name}_en") & (getattr(self, name)[place_bits:] == section)

            m.submodules[f"section_{section}"] = memory = Memory(
                shape=signed(8), depth=self._depth, init=[]
            )
            read, write = memory.read_port(), memory.write_port()
            address = self.store[:place_bits]
            for name in ("vector", "feed"):
                address = Mux(here(name), getattr(self, name)[:place_bits], address)
            loads = here("load")
            m.d.comb += [
                read.addr.eq(address),
                write.en.eq(here("result") | loads),
                write.addr.eq(Mux(loads, self.load[:place_bits], self.result[:place_bits])),
                write.data.eq(Mux(loads, self.load_i, self.result_i)),
            ]
            outputs.append(read.data)
        for name in self.READERS:
            section = Signal(range(self._sections), name=f"{name}_section")
            m.d.sync += section.eq(getattr(self, name)[place_bits:])
            value = Signal(signed(8), name=f"{name}_value")
            m.d.comb += value.eq(Array(outputs)[section])
            m.d.comb += getattr(self, f"{name}_o").eq(value)
        return m


class Buffer(wiring.Component):
    """The unified buffer of a systolic accelerator.

    Byte ``a`` is in bank ``a mod banks``. Addresses wrap; see ``docs/systolic.md`` for who may use
    which port when.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    feed_words : in, array of ``banks``
        Address in each bank; its byte is in ``feed_codes`` a cycle later.
    feed_enable : in, a bit for each bank
    feed_codes : out, array of ``banks`` signed(8)
    read_address, read_enable : in
        Of ``cols`` codes, which are in ``read_codes`` three cycles later.
    read_codes : out, array of ``cols`` signed(8)
    write_address : in
    write_codes : in, array of ``cols`` signed(8)
    write_count : in
        How many of them are written, from the first on.
    load_address, load_enable, load_data : in
        A beat of the memory port that is written; the address is a multiple of its bytes.
    store_address, store_enable : in
        Of a beat, which is in ``store_data`` three cycles later.
    store_data : out
    """

    def __init__(self, config):
        self._config = config
        codes = data.ArrayLayout(signed(8), config.cols)
        beat = 8 * config.axi_bytes
        self._word_bits = (config.sections * config.bank_depth - 1).bit_length()
        super().__init__(
            {
                "feed_words": In(data.ArrayLayout(unsigned(self._word_bits), config.banks)),
                "feed_enable": In(config.banks),
                "feed_codes": Out(data.ArrayLayout(signed(8), config.banks)),
                "read_address": In(ADDRESS_BITS),
                "read_enable": In(1),
                "read_codes": Out(codes),
                "write_address": In(ADDRESS_BITS),
                "write_codes": In(codes),
                "write_count": In(range(config.cols + 1)),
                "load_address": In(ADDRESS_BITS),
                "load_enable": In(1),
                "load_data": In(beat),
                "store_address": In(ADDRESS_BITS),
                "store_enable": In(1),
                "store_data": Out(beat),
            }
        )

    @property
    def config(self):
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        banks = [
            Once(Bank, sections=config.sections, depth=config.bank_depth)
            for _ in range(config.banks)
        ]
        for k, bank in enumerate(banks):
            m.submodules[f"bank_{k}"] = bank
            m.d.comb += [
                bank.feed.eq(self.feed_words[k]),
                bank.feed_en.eq(self.feed_enable[k]),
                self.feed_codes[k].eq(bank.feed_o),
            ]
        self._read(m, banks)
        self._write(m, banks)
        self._move(m, banks)
        return m

    def _split(self, address):
        """(place in the banks of the first code, number of its bank)."""
        low = (self.config.banks - 1).bit_length()
        return address[low : low + self._word_bits], address[:low]

    def _bank_addresses(self, m, banks, name, address, enable):
        """A register with each bank's address, for codes that run on from ``address``."""
        word, first = self._split(address)
        for k, bank in enumerate(banks):
            m.d.sync += [
                getattr(bank, name).eq(word + (k < first)),
                getattr(bank, f"{name}_en").eq(enable[k] if isinstance(enable, list) else enable),
            ]

    def _read(self, m, banks):
        self._bank_addresses(m, banks, "vector", self.read_address, self.read_enable)
        first = self._split(self.read_address)[1]
        for age in range(2):
            later = Signal(len(first), name=f"read_first_{age}")
            m.d.sync += later.eq(first)
            first = later
        # Code k is in bank (k + first) mod banks.
        turned = rotate(m, "read", [bank.vector_o for bank in banks], (-first)[: len(first)])
        for k in range(self.config.cols):
            m.d.sync += self.read_codes[k].eq(turned[k])

    def _write(self, m, banks):
        first = self._split(self.write_address)[1]
        codes = [self.write_codes[k] for k in range(self.config.cols)]
        codes += [codes[0]] * (self.config.banks - len(codes))
        count = self.write_count
        valid = [count > k if k < self.config.cols else Const(0) for k in range(len(banks))]
        enable = rotate(m, "write_enable", valid, first)
        self._bank_addresses(m, banks, "result", self.write_address, enable)
        for bank, code in zip(banks, rotate(m, "write", codes, first), strict=True):
            m.d.sync += bank.result_i.eq(code)

    def _move(self, m, banks):
        """Whole beats, which lie in neighbouring banks."""
        size = self.config.axi_bytes
        stored = []
        for way, address, enable in (
            ("load", self.load_address, self.load_enable),
            ("store", self.store_address, self.store_enable),
        ):
            word, first = self._split(address)
            for k, bank in enumerate(banks):
                mine = enable & (first == k // size * size)
                m.d.sync += [
                    getattr(bank, way).eq(word),
                    getattr(bank, f"{way}_en").eq(mine),
                ]
        which = self._split(self.store_address)[1] >> (size - 1).bit_length()
        for k, bank in enumerate(banks):
            start = 8 * (k % size)
            m.d.sync += bank.load_i.eq(self.load_data[start : start + 8])
        for age in range(2):
            later = Signal(len(which), name=f"store_which_{age}")
            m.d.sync += later.eq(which)
            which = later
        for first in range(0, len(banks), size):
            stored.append(Cat(bank.store_o for bank in banks[first : first + size]))
        m.d.sync += self.store_data.eq(Array(stored)[which] if len(stored) > 1 else stored[0])
        return m
