"""Registers around the multipliers and behind the block RAMs of ECP5, moved into them.

`MULT18X18D` has registers for its operands and for the product, `DP16KD` one for what was read.
Yosys leaves them unused, and with them most of the speed: the registers that a design has before
and after a multiplier lie somewhere else, and the way there and back is added to the
multiplication; a block RAM without its register takes as long as a whole multiplier.
"""

from collections import Counter

from .wrapper import DESIGN

__all__ = ["absorb"]

_OPERANDS = tuple(tuple(f"{side}{bit}" for bit in range(18)) for side in "AB")
_PRODUCT = tuple(f"P{bit}" for bit in range(36))
_READ = tuple(f"DO{side}{bit}" for side in "AB" for bit in range(18))
# What a register may follow to be moved away from it: nothing but a way lies between.
_REGISTERS = ("TRELLIS_FF", "DP16KD", "MULT18X18D")


def absorb(cells):
    """Move registers into multipliers and block RAMs, in place.

    A product's register moves if nothing else uses the product; the operands' registers move if
    both operands have some (or one is constant), and these follow other registers. What else reads
    an operand's register keeps it. What a block RAM has read moves if nothing else uses it.

    Parameters
    ----------
    cells : dict of str to dict
        Of a flat netlist, as Yosys writes it.

    Returns
    -------
    list of str
        Names of the flip-flops that are gone.
    """
    nets = _Nets(cells)
    memories, multipliers = (
        [name for name, cell in cells.items() if cell["type"] == kind]
        for kind in ("DP16KD", "MULT18X18D")
    )
    gone = [register for name in memories for register in _absorb_read(name, nets)]
    gone += [register for name in multipliers for register in _absorb_product(name, nets)]
    moved = {register for name in multipliers for register in _absorb_operands(name, nets)}
    unread = [name for name in moved if not nets.users[cells[name]["connections"]["Q"][0]]]
    for name in unread:
        del cells[name]
    return gone + unread


class _Nets:
    """Who drives and who uses each bit."""

    def __init__(self, cells):
        self.cells = cells
        self.driver = {}
        self.users: Counter[int] = Counter()
        self.register_of = {}  # the flip-flops whose input a bit is
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                for bit in bits:
                    if cell["port_directions"][port] == "output":
                        self.driver[bit] = name
                    elif not isinstance(bit, str):
                        self.users[bit] += 1
            if self.plain(name):
                self.register_of[cell["connections"]["DI"][0]] = name

    def plain(self, name):
        """Whether a cell is a register of the design that is never reset."""
        cell = self.cells.get(name)
        if cell is None or cell["type"] != "TRELLIS_FF" or not name.startswith(f"{DESIGN}."):
            return False
        options, connections = cell["parameters"], cell["connections"]
        return (
            options["CEMUX"].strip() in ("1", "CE")
            and options["CLKMUX"].strip() == "CLK"
            and options["REGSET"].strip() == "RESET"
            and set(connections.get("LSR", ())) <= {"0"}
        )

    def movable(self, name):
        """Whether a cell is such a register and always loads."""
        return self.plain(name) and self.enable(name) == "1"

    def enable(self, name):
        """The bit that lets a register load; "1" if it always does."""
        cell = self.cells[name]
        return "1" if cell["parameters"]["CEMUX"].strip() == "1" else cell["connections"]["CE"][0]

    def clock(self, name):
        """The clock of a register."""
        return self.cells[name]["connections"]["CLK"][0]


def _set_register(cell, which, clock):
    cell["parameters"][f"REG_{which}_CLK"] = "CLK0"
    for port, value in (("CLK0", clock), ("CE0", "1"), ("RST0", "0")):
        cell["connections"][port] = [value]
        cell["port_directions"][port] = "input"


def _absorb_product(name, nets):
    """Move the register of a product; returns what is gone."""
    cell = nets.cells[name]
    connections = cell["connections"]
    used = [port for port in _PRODUCT if nets.users[connections.get(port, ["x"])[0]]]
    registers = [nets.register_of.get(connections[port][0]) for port in used]
    if not used or None in registers or any(nets.users[connections[p][0]] > 1 for p in used):
        return []
    clocks = {nets.clock(register) for register in registers}
    if len(clocks) > 1 or not all(map(nets.movable, registers)):
        return []
    _set_register(cell, "OUTPUT", clocks.pop())
    for port, register in zip(used, registers, strict=True):
        connections[port] = nets.cells.pop(register)["connections"]["Q"]
        nets.driver[connections[port][0]] = name
    return registers


def _absorb_read(name, nets):
    """Move the registers behind what a block RAM reads; returns what is gone."""
    cell = nets.cells[name]
    connections = cell["connections"]
    used = [port for port in _READ if nets.users[connections.get(port, ["x"])[0]]]
    registers = [nets.register_of.get(connections[port][0]) for port in used]
    if not used or None in registers or any(nets.users[connections[p][0]] > 1 for p in used):
        return []
    # At its widest, a block RAM writes at one of its ports and reads at the other, by the pins of
    # both.
    wide = int(cell["parameters"]["DATA_WIDTH_B"], 2) == 36
    sides = {"B"} if wide else {port[2] for port in used}
    found = {(nets.clock(register), nets.enable(register)) for register in registers}
    if len(found) > 1 or len(sides) > 1:
        return []
    ((clock, enable),) = found
    (side,) = sides
    if connections[f"CLK{side}"] != [clock]:
        return []
    for port in "AB" if wide else side:
        cell["parameters"][f"REGMODE_{port}"] = "OUTREG"
    connections[f"OCE{side}"] = [enable]
    for port, register in zip(used, registers, strict=True):
        connections[port] = nets.cells.pop(register)["connections"]["Q"]
        nets.driver[connections[port][0]] = name
    return registers


def _absorb_operands(name, nets):
    """Move the registers of both operands; returns which they are, others may read them still."""
    cell = nets.cells[name]
    connections = cell["connections"]
    registers: dict[str, str] = {}
    for ports in _OPERANDS:
        found = {
            port: nets.driver.get(connections[port][0])
            for port in ports
            if not isinstance(connections[port][0], str)
        }
        if not all(_follows_register(register, nets) for register in found.values()):
            return []
        registers |= found
    if not registers:
        return []
    clocks = {nets.clock(register) for register in registers.values()}
    if cell["parameters"].get("REG_OUTPUT_CLK", "NONE").strip() != "NONE":
        clocks |= set(connections["CLK0"])
    if len(clocks) > 1:
        return []
    clock = clocks.pop()
    for side in "AB":
        _set_register(cell, f"INPUT{side}", clock)
    for port, register in registers.items():
        ends = nets.cells[register]["connections"]
        connections[port] = ends["DI"]
        nets.users[ends["Q"][0]] -= 1
        nets.users[ends["DI"][0]] += 1
    return list(registers.values())


def _follows_register(name, nets):
    """Whether a cell is a register that may move, and gets its bit from another one."""
    if not nets.movable(name):
        return False
    source = nets.cells.get(nets.driver.get(nets.cells[name]["connections"]["DI"][0]))
    return source is not None and source["type"] in _REGISTERS
