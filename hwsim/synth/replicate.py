"""Registers that many cells read, made several: place and route would not do it by itself."""

import re

from .wrapper import DESIGN

__all__ = ["replicate"]

MOST_READERS = 32


def replicate(cells, most=MOST_READERS):
    """Copy each register of the design that more than ``most`` pins read, in place.

    A register in one place is far from some of its readers, and the way there is most of the time
    that there is. Each copy gets the readers whose names follow one another, since cells beside one
    another in a word lie near one another.

    Parameters
    ----------
    cells : dict of str to dict
        Of a flat netlist, as Yosys writes it.
    most : int

    Returns
    -------
    list of str
        Names of the copies.
    """
    free = 0
    readers: dict[int, list[tuple[str, str, int]]] = {}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for place, bit in enumerate(bits):
                if not isinstance(bit, str):
                    free = max(free, bit + 1)
                    if cell["port_directions"][port] == "input":
                        readers.setdefault(bit, []).append((name, port, place))
    copies = []
    for name in [name for name, cell in cells.items() if cell["type"] == "TRELLIS_FF"]:
        register = cells[name]
        found = sorted(readers.get(register["connections"]["Q"][0], ()), key=_natural)
        parts = -(-len(found) // most) if name.startswith(f"{DESIGN}.") else 1
        nets = [*register["connections"]["Q"], *range(free, free + parts - 1)]
        free += len(nets) - 1
        for k, net in enumerate(nets[1:], 1):
            copies.append(f"{name}_copy_{k}")
            cells[copies[-1]] = {**register, "connections": {**register["connections"], "Q": [net]}}
        for k, (reader, port, place) in enumerate(found):
            ends = cells[reader]["connections"]
            ends[port] = [*ends[port]]
            ends[port][place] = nets[((k + 1) * parts - 1) // len(found)]
    return copies


def _natural(reader):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", reader[0])]
