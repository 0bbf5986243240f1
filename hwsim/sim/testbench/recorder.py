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
        self.cycles = 0
        self._constants = {}
        # Several paths may name one place: the first of them stands for all.
        self._paths = {}
        first: dict = {}
        for path in dict.fromkeys(model.paths()):
            place, instance = model.simulation.locate(path)
            if isinstance(place, int):
                self._constants[path] = place
            self._paths[path] = first.setdefault((place, instance), path)
        self._names = [name for name in first.values() if name not in self._constants]
        self._parts: dict[str, list] = {name: [] for name in self._names}

    def look(self):
        """Note the present values."""
        for name, parts in self._parts.items():
            value = self.model.simulation.peek(name)
            value = int(value if self.model.lanes == 1 else value[self.lane])
            parts.append(_words([value], self._width(name)))
        self.cycles += 1

    def step(self, cycles):
        """Run, and note the values in each cycle."""
        simulation = self.model.simulation
        while cycles:
            before = simulation.checkpoint()
            try:
                found = simulation.record(self._names, min(cycles, _CHUNK), lane=self.lane)
            except AssertionFailed:
                # Once more, to have the values up to the violation, which raises again.
                simulation.restore(before)
                while True:
                    self.look()
                    simulation.run(1)
            done = simulation.cycles - before.cycles
            for name, values in found.items():
                self._parts[name].append(values.astype(_kind(self._width(name))))
            self.cycles += done
            cycles -= done

    def write(self, path, **options):
        """Write the file."""
        values = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        for name, value in self._constants.items():
            values[name] = _words([value] * self.cycles, self._width(name))
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


def _words(values, width):
    """Values as a `Trace` has them."""
    if width <= 64:
        return np.array(values, _kind(width))
    size = -(-width // 64) * 8
    data = b"".join(value.to_bytes(size, "little") for value in values)
    return np.frombuffer(data, "<u8").reshape(len(values), -1).astype(np.uint64)
