"""Waveforms of what a simulation does."""

import numpy as np
from amaranth.hdl import Format

from hwsim.sim.compiled.simulation import AssertionFailed
from hwsim.sim.waves import Trace, write_wave

__all__ = ["Recorder"]

# Cycles that are recorded at a time.
_CHUNK = 1 << 14


class Recorder:
    """Values of all signals of a `Model` that can be read, in each cycle just before its edge.

    Parameters
    ----------
    model : Model
    lane : int
    """

    def __init__(self, model, lane):
        self.model = model
        self.lane = lane
        # Several paths may name one place: the first of them stands for all.
        self._paths = {}
        first: dict = {}
        for path in dict.fromkeys(model.paths()):
            self._paths[path] = first.setdefault(model.simulation.locate(path), path)
        self._parts: dict[str, list] = {name: [] for name in first.values()}

    def look(self):
        """Note the present values."""
        for name, parts in self._parts.items():
            value = self.model.simulation.peek(name)
            value = int(value if self.model.lanes == 1 else value[self.lane])
            parts.append(_words(value, self._width(name)))

    def step(self, cycles):
        """Run, and note the values in each cycle."""
        simulation = self.model.simulation
        while cycles:
            before = simulation.checkpoint()
            try:
                found = simulation.record(self._parts, min(cycles, _CHUNK), lane=self.lane)
            except AssertionFailed:
                # Once more, to have the values up to the violation, which raises again.
                simulation.restore(before)
                while True:
                    self.look()
                    simulation.run(1)
            for name, values in found.items():
                self._parts[name].append(values.astype(_kind(self._width(name))))
            cycles -= simulation.cycles - before.cycles

    def write(self, path, **options):
        """Write the file."""
        values = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        traces = []
        for path_, name in self._paths.items():
            scopes = ("top", *path_.split("."))
            traces.append(Trace(scopes, self._width(path_), values[name], self._names_of(path_)))
        write_wave(path, traces, **options)

    def _width(self, path):
        return self.model.named(path).shape.width

    def _names_of(self, path):
        """Names of the values of an enumeration. RTLIL has none of negative values."""
        form = getattr(self.model.signal(path), "_format", None)
        if not isinstance(form, Format.Enum) or self._width(path) > 64:
            return None
        return form._variants


def _kind(width):
    return np.dtype(f"u{next((size for size in (1, 2, 4) if width <= 8 * size), 8)}")


def _words(value, width):
    """A value as the only one of a `Trace`."""
    if width <= 64:
        return np.array([value], _kind(width))
    data = value.to_bytes(-(-width // 64) * 8, "little")
    return np.frombuffer(data, "<u8")[np.newaxis].astype(np.uint64)
