"""The unified buffer: byte-wide banks side by side, in sections with a port each way."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwsim.rtl.unit import choose, delay

from .group import Group, abreast

__all__ = ["Buffer", "place_layout", "rotate"]

ADDRESS_BITS = 24


def rotate(m, name, values, amount):
    """``values``, side by side in one, turned: value ``k`` goes to place ``(k + amount) mod n``.

    Their number ``n`` is a power of two, and ``amount`` has as many bits as it takes.
    """
    width = len(values) >> len(amount)
    for bit in range(len(amount)):
        turned = Signal(len(values), name=f"{name}_{bit}")
        cut = len(values) - (width << bit)
        m.d.comb += turned.eq(Mux(amount[bit], Cat(values[cut:], values[:cut]), values))
        values = turned
    return values


def place_layout(config):
    """Of a bank: a word in it, and whether that is wanted.

    A code outside of a map is not, since others may be using what lies there.
    """
    word = (config.sections * config.bank_depth - 1).bit_length()
    return data.StructLayout({"word": word, "wanted": 1})


def _requests(config):
    """Inputs by which all banks are told of codes that run on from ``word`` of bank ``first``.

    ``following`` is the word after it, where the banks before ``first`` have theirs. Beats, of
    which there is no ``following``, are whole words of neighbouring banks.
    """
    shapes = {"word": (config.sections * config.bank_depth - 1).bit_length()}
    shapes["first"] = (config.banks - 1).bit_length()
    shapes["following"] = shapes["word"]
    shapes["enable"] = 1
    shapes["count"] = range(config.cols + 1)
    parts = {
        "vector": ("word", "following", "first", "enable"),
        "result": ("word", "following", "first", "count"),
        "load": ("word", "first", "enable"),
        "store": ("word", "first", "enable"),
        "feed": ("enable",),
    }
    return {f"{name}_{part}": In(shapes[part]) for name in parts for part in parts[name]}


class Bank(wiring.Component):
    """One byte of each word of the buffer, in all sections.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    number : in
        Of the bank; constant.
    vector_word ... store_enable, feed_enable : in, see `_requests`
    result_i, load_i : in, signed(8)
        The bank's byte of what is written.
    vector_o, store_o : out, signed(8)
        And of what is read, two cycles later, if no other reader addresses that section at the same
        time.
    feed : in, see `place_layout`
        With ``feed_enable``, a place of the bank's own.
    feed_o : out, signed(8)
        A cycle later.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(self.ports(config=config))

    @staticmethod
    def ports(*, config):
        """Members of the signature."""
        return {
            "number": In((config.banks - 1).bit_length()),
            **_requests(config),
            "feed": In(place_layout(config)),
            "feed_o": Out(signed(8)),
            "vector_o": Out(signed(8)),
            "store_o": Out(signed(8)),
            "result_i": In(signed(8)),
            "load_i": In(signed(8)),
        }

    def elaborate(self, platform):
        m = Module()
        config = self._config
        place_bits = (config.bank_depth - 1).bit_length()
        addresses, enables = self._addressed(m)
        result, loaded = (Signal(signed(8), name=name) for name in ("result_code", "load_code"))
        m.d.sync += [result.eq(self.result_i), loaded.eq(self.load_i)]
        outputs = []
        for section in range(config.sections):

            def here(name, section=section):
                return enables[name] & (addresses[name][place_bits:] == section)

            m.submodules[f"section_{section}"] = memory = Memory(
                shape=signed(8), depth=config.bank_depth, init=[]
            )
            read, write = memory.read_port(), memory.write_port()
            place = Signal(place_bits, name=f"read_{section}")
            address = addresses["store"][:place_bits]
            for name in ("vector", "feed"):
                address = Mux(here(name), addresses[name][:place_bits], address)
            loads = Signal(name=f"loads_{section}")
            m.d.comb += [
                loads.eq(here("load")),
                place.eq(address),
                read.addr.eq(place),
                write.en.eq(here("result") | loads),
                write.addr.eq(
                    Mux(loads, addresses["load"][:place_bits], addresses["result"][:place_bits])
                ),
                write.data.eq(Mux(loads, loaded, result)),
            ]
            outputs.append(read.data)
        for name in ("feed", "vector", "store"):
            section = Signal(range(config.sections), name=f"{name}_section")
            m.d.sync += section.eq(addresses[name][place_bits:])
            m.d.comb += getattr(self, f"{name}_o").eq(choose(section, outputs))
        return m

    def _addressed(self, m):
        """Registers with the bank's address for each port, and whether it takes part."""
        number = self.number
        beat_bits = (self._config.axi_bytes - 1).bit_length()
        away = (number - self.result_first)[: len(number)]
        addresses = {"feed": self.feed.word}
        enables = {
            "feed": self.feed.wanted & self.feed_enable,
            "vector": self.vector_enable,
            "result": away < self.result_count,
        }
        for name in ("load", "store"):
            first = getattr(self, f"{name}_first")
            mine = first[beat_bits:] == number[beat_bits:]
            enables[name] = getattr(self, f"{name}_enable") & mine
        for name in ("vector", "result", "load", "store"):
            address, enable = Signal.like(self.feed.word, name=name), Signal(name=f"{name}_en")
            word = getattr(self, f"{name}_word")
            if name in ("vector", "result"):
                before = number < getattr(self, f"{name}_first")
                word = Mux(before, getattr(self, f"{name}_following"), word)
            m.d.sync += [address.eq(word), enable.eq(enables[name])]
            addresses[name], enables[name] = address, enable
        return addresses, enables


class BankGroup(Group):
    """Banks side by side."""

    BLOCK = Bank
    OWN = ("number", "feed", "result_i", "load_i")


class Buffer(wiring.Component):
    """The unified buffer of a systolic accelerator.

    Byte ``a`` is in bank ``a mod banks``. Addresses wrap; see ``docs/systolic.md`` for who may use
    which port when.

    Parameters
    ----------
    config : Systolic

    Members
    -------
    feed_places : in, array of ``banks``, see `place_layout`
        The byte there is in ``feed_codes`` a cycle later.
    feed_enable : in
        Otherwise nothing is read there.
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
                "feed_places": In(data.ArrayLayout(place_layout(config), config.banks)),
                "feed_enable": In(1),
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
        banks = abreast(m, BankGroup, config.banks, config=config)
        m.d.comb += [
            *(number.eq(k) for k, number in enumerate(banks.number)),
            banks.feed.eq(self.feed_places),
            banks.feed_enable.eq(self.feed_enable),
            self.feed_codes.eq(banks.feed_o),
            banks.load_i.eq(self.load_data.replicate(config.banks // config.axi_bytes)),
        ]
        for name, address in (
            ("vector", self.read_address),
            ("result", self.write_address),
            ("load", self.load_address),
            ("store", self.store_address),
        ):
            word, first = self._split(address)
            m.d.comb += [
                getattr(banks, f"{name}_word").eq(word),
                getattr(banks, f"{name}_first").eq(first),
            ]
            if name in ("vector", "result"):
                m.d.comb += getattr(banks, f"{name}_following").eq(word + 1)
        m.d.comb += [
            banks.vector_enable.eq(self.read_enable),
            banks.result_count.eq(self.write_count),
            banks.load_enable.eq(self.load_enable),
            banks.store_enable.eq(self.store_enable),
        ]

        # Code k is in bank (k + first) mod banks.
        first = banks.result_first
        codes = self.write_codes.as_value()
        missing = 8 * (config.banks - config.cols)
        m.d.comb += banks.result_i.eq(rotate(m, "write", Cat(codes, Const(0, missing)), first))
        first, enable = self._late(m, "read", banks.vector_first, banks.vector_enable)
        turned = rotate(m, "read", banks.vector_o.as_value(), (-first)[: len(first)])
        with m.If(enable):
            m.d.sync += self.read_codes.eq(turned)
        which = banks.store_first[(config.axi_bytes - 1).bit_length() :]
        which, enable = self._late(m, "store", which, banks.store_enable)
        stored = banks.store_o.as_value()
        beat = 8 * config.axi_bytes
        beats = [stored.word_select(k, beat) for k in range(config.banks // config.axi_bytes)]
        with m.If(enable):
            m.d.sync += self.store_data.eq(choose(which, beats))
        return m

    def _split(self, address):
        """(place in the banks of the first code, number of its bank)."""
        low = (self.config.banks - 1).bit_length()
        return address[low : low + self._word_bits], address[:low]

    @staticmethod
    def _late(m, name, value, enable):
        """A part of a request for reading, and whether there is one, when its codes come."""
        late = delay(m, Cat(value, enable), 2, f"{name}_request")
        return late[:-1], late[-1]
