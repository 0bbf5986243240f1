"""The simulator that users see."""

from pathlib import Path

import amaranth.sim
import numpy as np
from amaranth.hdl import Const, Fragment, ShapeCastable, Signal, Value, ValueCastable
from amaranth.lib import wiring

from .engine import Engine
from .model import Input, Slot, as_array, compile_amaranth, compile_verilog

__all__ = ["Simulator"]


class Simulator(amaranth.sim.Simulator):
    """A design, its state, and testbenches.

    Signals are given as objects (an `amaranth.hdl.Signal`, a port such as ``dut.i.payload``; with
    one lane, any expression of them) or as paths, names joined by dots, such as
    ``"multiplier.product"``. Values are integers, signed where the signal's shape is; with several
    lanes they are arrays with one value per lane, and an integer stands for all lanes. What nothing
    in the design drives is an input; it keeps its value until it is set again.

    Clocks and testbenches are as in Amaranth: `add_clock`, `add_testbench`, `run`, `run_until`,
    `advance`, `reset`.

    Parameters
    ----------
    design : Elaboratable, path, or sequence of paths
        An Amaranth design, or Verilog files.
    top : str, optional
        Name of the top module, for Verilog.
    lanes : int
        Independent stimuli, 1 to 1024.
    observe : "all", or sequence of signals
        What can be read, besides inputs and outputs. Less makes for less compilation.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    UnknownSignalError
        If the design does not have a signal that is to be observed.
    hwsim.sim.compiled.frontend.UnsupportedDesign
        If the engine cannot simulate the design.
    """

    def __init__(self, design, *, top=None, lanes=1, observe="all"):
        if not isinstance(lanes, int) or not 1 <= lanes <= 1024:
            raise ValueError(f"lanes must be an integer from 1 to 1024, not {lanes!r}")
        if isinstance(observe, str) and observe != "all":
            raise ValueError(f'observe must be "all" or a sequence of signals, not {observe!r}')
        files = _verilog_files(design)
        if files is None:
            if top is not None:
                raise TypeError("top is for designs in Verilog")
            self._design = Fragment.get(design, None).prepare()
            model = compile_amaranth(
                self._design, members=_members(design), lanes=lanes, observe=observe
            )
        else:
            if top is None:
                raise TypeError("a design in Verilog needs the name of its top module, top=")
            self._design = None
            model = compile_verilog(files, top, lanes=lanes, observe=observe)
        self._engine = Engine(self._design, model)
        self._clocked = set()
        self._running = False

    @property
    def lanes(self):
        """Number of independent stimuli."""
        return self._engine.model.lanes

    def poke(self, signal, value):
        """Set an input, or with one lane an expression that can be assigned to.

        Raises
        ------
        TypeError, ValueError
            If it is not an input, or cannot hold the value.
        UnknownSignalError
            If the design does not have it.
        """
        shape = signal.shape() if isinstance(signal, ValueCastable) else None
        if isinstance(shape, ShapeCastable) and not isinstance(
            value, int | np.integer | np.ndarray
        ):
            value = Const.cast(shape.const(value)).value
        target = self._slot(signal)
        if isinstance(target, Value):
            value = _checked(value, target.shape(), repr(target), 1)
            self._engine.set_value(target, value)
        elif type(target) not in (Input, Slot):
            raise ValueError(f"signal {target.name} cannot be set: it is not an input")
        else:
            target.update(_checked(value, target.shape, f"signal {target.name}", self.lanes))

    def peek(self, signal):
        """Value of a signal, or with one lane of an expression, after all inputs took effect.

        Views give the integer that their bits are. With several lanes the array is of 64-bit
        integers, or of Python's where those are too short.

        Raises
        ------
        UnknownSignalError
            If the design does not have it, or it is not observed.
        """
        target = self._slot(signal)
        return self._engine.get_value(target) if isinstance(target, Value) else target.curr

    def step(self, cycles=1):
        """Run the clock for some cycles. Testbenches that were added run along.

        Raises
        ------
        ValueError
            If ``cycles`` is not an integer of at least 0.
        AssertionFailed
            If an assertion of the design is violated.
        """
        if not isinstance(cycles, int) or cycles < 0:
            raise ValueError(f"cycles must be an integer of at least 0, not {cycles!r}")
        self._engine.step(cycles)
        self._running = True

    def add_clock(self, period, *, phase=None, domain="sync", if_exists=False):
        """Add the clock, as `amaranth.sim.Simulator.add_clock` does. There can be one."""
        self._only_amaranth("a clock")
        super().add_clock(period, phase=phase, domain=domain, if_exists=if_exists)

    def add_testbench(self, constructor, *, background=False):
        """Add a testbench, as `amaranth.sim.Simulator.add_testbench` does."""
        self._only_amaranth("a testbench")
        self._only_one_lane("testbenches")
        super().add_testbench(constructor, background=background)

    def run_until(self, deadline):
        """Run until a time in seconds, as `amaranth.sim.Simulator.run_until` does."""
        if not self._clocked:
            raise RuntimeError("time does not pass: no clock was added")
        super().run_until(deadline)

    def write_vcd(self, vcd_file, gtkw_file=None, *, traces=(), lane=0):
        """Write waveforms of what runs within the ``with`` statement, whether it ends well or not.

        Parameters
        ----------
        vcd_file : path
            Its suffix, ``.vcd`` or ``.fst``, says the format.
        gtkw_file : None
            Save files for GTKWave are not written.
        traces
            As all signals are in the file that can be read, these need not be named.
        lane : int
            The stimulus to show.

        Raises
        ------
        TypeError, ValueError, NotImplementedError
            If an argument is not as described.
        """
        if not isinstance(lane, int) or not 0 <= lane < self.lanes:
            raise ValueError(f"lane must be an integer from 0 to {self.lanes - 1}, not {lane!r}")
        return self._engine.write_vcd(
            vcd_file=vcd_file, gtkw_file=gtkw_file, traces=traces, fs_per_delta=0, lane=lane
        )

    def _slot(self, signal):
        """The slot of a signal; an expression gives itself."""
        if isinstance(signal, str):
            return self._engine.model.named(signal)
        value = Value.cast(signal)
        if isinstance(value, Signal):
            return self._engine.model.slot(value)
        self._only_one_lane("expressions")
        return value

    def _only_amaranth(self, what):
        if self._design is None:
            raise TypeError(f"{what} needs a design in Amaranth: use poke, peek and step")

    def _only_one_lane(self, what):
        if self.lanes != 1:
            raise ValueError(f"{what} need a simulation of one lane, not of {self.lanes}")


def _verilog_files(design):
    """Paths, or None if the design is something else."""
    if isinstance(design, str | Path):
        return [Path(design)]
    if isinstance(design, list | tuple) and all(isinstance(d, str | Path) for d in design):
        return [Path(file) for file in design]
    return None


def _members(design):
    signature = getattr(design, "signature", None)
    if not isinstance(signature, wiring.Signature):
        return []
    ports = [Value.cast(port) for _, _, port in signature.flatten(design)]
    return [port for port in ports if isinstance(port, Signal)]


def _checked(value, shape, name, lanes):
    """An integer, or with several lanes one for each, that the shape can hold."""
    values = np.asarray(value, object)
    if values.shape not in ((), (lanes,)):
        expected = "one value" if lanes == 1 else f"one value or {lanes}"
        raise ValueError(f"{name} takes {expected}, not an array of shape {values.shape}")
    low = -(1 << shape.width >> 1) if shape.signed else 0
    high = low + (1 << shape.width)
    for entry in values.reshape(-1):
        if not isinstance(entry, int | np.integer | np.bool_):
            raise TypeError(f"{name} takes integers, not {type(entry).__name__}")
        if not low <= entry < high:
            raise ValueError(f"{name} holds {low} to {high - 1}, not {entry}")
    if lanes == 1:
        return int(values.reshape(-1)[0])
    return as_array([int(entry) for entry in np.broadcast_to(values, lanes)], shape)
