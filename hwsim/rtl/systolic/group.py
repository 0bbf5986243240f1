"""Equal blocks side by side."""

import re
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.rtl.once import Once

__all__ = ["GROUP", "Group", "abreast"]

# Blocks of a group, at most: so that what has many of them has few instances.
GROUP = 16


class Group(wiring.Component):
    """Blocks side by side; base of classes that say which.

    An output, and an input that is one of `OWN`, is an array with an element for each block; any
    other input is for all of them.

    Parameters
    ----------
    count : int
    **parameters
        Of a block.

    Members
    -------
    BLOCK : class
        Of the blocks; its method ``ports(**parameters)`` gives the members of its signature.
    OWN : tuple of str
    """

    def __init__(self, *, count, **parameters):
        self._count = count
        self._parameters = parameters
        super().__init__(
            {
                name: member.flow(data.ArrayLayout(member.shape, count))
                if self.each(name, member)
                else member
                for name, member in self.BLOCK.ports(**parameters).items()
            }
        )

    @classmethod
    def each(cls, name, member):
        """Whether each block has its own element of a port."""
        return member.flow == Out or name in cls.OWN

    def elaborate(self, platform):
        m = Module()
        stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.BLOCK.__name__).lower()
        blocks = [Once(self.BLOCK, **self._parameters) for _ in range(self._count)]
        for k, block in enumerate(blocks):
            m.submodules[f"{stem}_{k}"] = block
            for name, member in self.BLOCK.ports(**self._parameters).items():
                port, mine = getattr(block, name), getattr(self, name)
                mine = mine[k] if self.each(name, member) else mine
                m.d.comb += port.eq(mine) if member.flow == In else mine.eq(port)
        return m


def abreast(m, group, count, **parameters):
    """Blocks side by side in ``m``, in groups; signals for their ports, as those of one `Group`."""
    parts = [Once(group, count=min(GROUP, count - k), **parameters) for k in range(0, count, GROUP)]
    for k, part in enumerate(parts):
        m.submodules[f"group_{k}"] = part
    whole = SimpleNamespace()
    for name, member in group.BLOCK.ports(**parameters).items():
        ports = [getattr(part, name) for part in parts]
        if group.each(name, member):
            value = Signal(data.ArrayLayout(member.shape, count), name=name)
            joined = Cat(port.as_value() for port in ports)
            m.d.comb += joined.eq(value) if member.flow == In else value.eq(joined)
        else:
            value = Signal(member.shape, name=name)
            m.d.comb += [port.eq(value) for port in ports]
        setattr(whole, name, value)
    return whole
