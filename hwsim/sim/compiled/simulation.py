"""Simulations of a compiled design."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .machine import Code
from .ranges import container

__all__ = ["AssertionFailed", "Buffers", "Checkpoint", "Simulation"]


class AssertionFailed(RuntimeError):
    """An assertion of the design was violated."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that a simulation is between two cycles.

    Members
    -------
    cycles : int
    states : dict of str to ndarray
        Registers and memories: the bytes of their elements, (rows, instances, lanes, bytes); one
        lane where all have the same.
    buffers : dict of str to ndarray
    lanes : int
    """

    cycles: int
    states: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]
    lanes: int

    def lane(self, number):
        """The same for one lane alone."""
        if not 0 <= number < self.lanes:
            raise ValueError(f"lane must lie in 0 to {self.lanes - 1}, not {number}")

        def pick(array):
            return array if array.shape[2] == 1 else array[:, :, number : number + 1]

        buffers = {
            name: array if array.ndim == 1 else array[:, number : number + 1]
            for name, array in self.buffers.items()
        }
        return Checkpoint(self.cycles, {n: pick(a) for n, a in self.states.items()}, buffers, 1)

    def save(self, path):
        """Write to an ``.npz`` file."""
        arrays: dict[str, Any] = {f"state {name}": a for name, a in self.states.items()}
        arrays |= {f"buffer {name}": array for name, array in self.buffers.items()}
        with open(path, "wb") as file:
            np.savez_compressed(file, cycles=self.cycles, lanes=self.lanes, **arrays)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            groups: dict[str, dict] = {"state": {}, "buffer": {}}
            for key in file.files:
                kind, _, name = key.partition(" ")
                if kind in groups:
                    groups[kind][name] = file[key]
            return cls(int(file["cycles"]), groups["state"], groups["buffer"], int(file["lanes"]))


class Simulation:
    """State of a design, and what changes it.

    Parameters
    ----------
    program : Program

    Members
    -------
    buffers : Buffers
    cycles : int
        Clock edges since the start.
    """

    def __init__(self, program):
        self.program = program
        self._code = Code(program.code)
        # Vectors are loaded fastest where lines of the cache begin.
        memory = np.zeros(program.size + 128, np.uint8)
        start = -memory.ctypes.data % 64
        # Whole words may be looked at, beyond the end.
        self._arena = memory[start : start + program.size + 8]
        self._arena[: program.size] = np.frombuffer(zlib.decompress(program.image), np.uint8)
        self._table = np.zeros((max(1, len(program.buffers)), 2), np.int64)
        self.buffers = Buffers(program, self._table)
        self.cycles = 0
        self._settled = False
        self._paths: dict[str, tuple[dict, int, dict | None]] | None = None

    # Values

    def poke(self, name, value):
        """Set an input of the top: an integer for all lanes, or one per lane.

        Negative numbers stand for their two's complement; what does not fit is refused.
        """
        try:
            place = self.program.inputs[name]
        except KeyError:
            known = ", ".join(self.program.inputs) or "none"
            raise KeyError(f"the design has no input {name}; its inputs are {known}") from None
        low, mask = -(1 << (place.width - 1)), (1 << place.width) - 1
        lanes = self.program.lanes
        values = [value] * lanes if np.ndim(value) == 0 else list(value)
        if len(values) != lanes:
            raise ValueError(f"{name} takes one value or {lanes}, one per lane, not {len(values)}")
        wrong = [value for value in values if not low <= value <= mask]
        if wrong:
            raise ValueError(f"{name} takes {low} to {mask}, not {int(wrong[0])}")
        words = [int(value) & mask for value in values]
        if place.lanes == 1:
            if len(set(words)) > 1:
                raise ValueError(f"{name} has one value for all lanes, and was given several")
            words = words[:1]
        words += words[-1:] * (place.lanes - len(words))
        data = b"".join(word.to_bytes(place.bytes, "little") for word in words)
        self._arena[place.offset : place.offset + len(data)] = np.frombuffer(data, np.uint8)
        self._settled = False

    def settle(self):
        """Bring outputs and observed signals up to date with inputs and state."""
        if not self._settled:
            self._code.settle(self._arena.ctypes.data, self._table.ctypes.data)
            self._settled = True

    def peek(self, name):
        """Value of an output or an observed signal, by path; one per lane if there are several.

        Unsigned integers: an int, or an object array of shape (lanes,).
        """
        place, instance = self.locate(name)
        self.settle()
        size, mask = place.bytes, (1 << place.width) - 1
        start = place.offset + instance * place.lanes * size
        data = self._arena[start : start + place.lanes * size].tobytes()
        values = [
            int.from_bytes(data[k : k + size], "little") & mask for k in range(0, len(data), size)
        ]
        lanes = self.program.lanes
        if lanes == 1:
            return values[0]
        result = np.empty(lanes, object)
        result[:] = values[:lanes] if len(values) > 1 else values * lanes
        return result

    def locate(self, name):
        """``(place, instance)`` of a signal."""
        if name in self.program.outputs:
            return self.program.outputs[name], 0
        if self._paths is None:
            self._paths = {
                prefix: (table, instance, renamed[instance] if renamed else None)
                for prefixes, table, renamed in self.program.signals
                for instance, prefix in enumerate(prefixes)
            }
        head = name
        while True:
            dot = head.rfind(".")
            prefix = head[: dot + 1]
            found = self._paths.get(prefix)
            if found is not None:
                table, instance, renamed = found
                own = name[len(prefix) :]
                place = table.get(renamed.get(own, own) if renamed else own)
                if place is not None:
                    return place, instance if place.count > 1 else 0
            if dot < 0:
                raise KeyError(f"the design has no signal {name} that can be observed")
            head = head[:dot]

    def width(self, name):
        """Bits of a signal."""
        return self.locate(name)[0].width

    # Time

    def step(self, cycles=1):
        """As `run`."""
        return self.run(cycles)

    def run(self, cycles):
        """Run up to so many cycles; fewer if all lanes stop. Gives the number of cycles run.

        Raises `AssertionFailed` after a cycle that violated an assertion.
        """
        done = self._code.run(self._arena.ctypes.data, self._table.ctypes.data, cycles)
        self._after(done)
        return done

    def _after(self, done):
        self.cycles += done
        self._settled = False
        if self._arena[self.program.halt]:
            self._arena[self.program.halt] = 0
            self._raise_violations()

    def _raise_violations(self):
        for message, source, place in self.program.checks:
            flags = self._arena[place.offset : place.offset + place.row]
            if flags.any():
                lane = int(np.flatnonzero(flags)[0]) % place.lanes
                where = f" in lane {lane}" if place.lanes > 1 else ""
                raise AssertionFailed(
                    f"assertion violated in cycle {self.cycles - 1}{where}: {message} ({source})"
                )

    # Observation

    def record(self, names, cycles, *, lane=0):
        """Run, and note the value of signals in each cycle, before its clock edge.

        Parameters
        ----------
        names : sequence of str
            Outputs and observed signals.
        cycles : int
        lane : int

        Returns
        -------
        dict of str to ndarray
            (cycles run,) of an unsigned type; (cycles run, words) of uint64, low word first, for a
            signal of more than 64 bits.
        """
        if not 0 <= lane < self.program.lanes:
            raise ValueError(f"lane must lie in 0 to {self.program.lanes - 1}, not {lane}")
        places = {name: self.locate(name) for name in names}
        spots, sizes = [], []
        for place, instance in places.values():
            within = lane if place.lanes > 1 else 0
            spots.append(place.offset + (instance * place.lanes + within) * place.bytes)
            sizes.append(place.bytes)
        row = sum(sizes)
        entries = np.array([spots, sizes], np.int64).T.copy()
        out = np.zeros((cycles, row), np.uint8)
        done = self._code.record(
            self._arena.ctypes.data,
            self._table.ctypes.data,
            cycles,
            entries.ctypes.data,
            len(spots),
            out.ctypes.data,
        )
        out = out[:done]
        result, offset = {}, 0
        for name, (place, _) in places.items():
            size = place.bytes
            column = np.ascontiguousarray(out[:, offset : offset + size])
            offset += size
            if place.width > 64:
                words = column.view("<u8")
                words[:, -1] &= np.uint64((1 << (place.width - 64 * (words.shape[1] - 1))) - 1)
            else:
                kind = np.dtype(f"<u{size}")
                words = column.view(kind)[:, 0] & kind.type((1 << place.width) - 1)
            result[name] = words
        self._after(done)
        return result

    def cover(self, cycles, coverage):
        """Run, and note which bits change; see `Coverage`. Gives the number of cycles run."""
        if coverage.before is None:
            self.settle()
            coverage.before = np.concatenate(
                [
                    np.frombuffer(self._arena[o : o + 8 * n].tobytes(), "<u8")
                    for o, n in coverage.pieces
                ]
                or [np.zeros(0, np.uint64)]
            )
        done = self._code.cover(
            self._arena.ctypes.data,
            self._table.ctypes.data,
            cycles,
            coverage.pieces.ctypes.data,
            len(coverage.pieces),
            *(a.ctypes.data for a in (coverage.before, coverage.rise, coverage.fall)),
        )
        self._after(done)
        return done

    # Checkpoints

    def checkpoint(self):
        """A `Checkpoint` of now."""
        states = {}
        for index, (name, place, instance) in enumerate(self.program.states):
            view = self._view(place, instance)
            lanes = self.program.lanes if place.lanes > 1 else 1
            states[f"{index} {name}"] = view[:, :, :lanes].copy()
        return Checkpoint(
            self.cycles,
            states,
            {name: array.copy() for name, array in self.buffers.items()},
            self.program.lanes,
        )

    def restore(self, checkpoint):
        """Go back to a checkpoint of this design, with as many lanes or with one."""
        mine = [f"{index} {name}" for index, (name, _, _) in enumerate(self.program.states)]
        if list(checkpoint.states) != mine:
            raise ValueError("the checkpoint is not one of this design")
        views = []
        for key, (_, place, instance) in zip(mine, self.program.states, strict=True):
            array, view = checkpoint.states[key], self._view(place, instance)
            if array.shape[:2] != view.shape[:2] or array.shape[3] != view.shape[3]:
                raise ValueError("the checkpoint is not one of this design")
            if array.shape[2] not in (1, self.program.lanes):
                break
            if array.shape[2] > view.shape[2]:
                raise ValueError("the checkpoint is not one of this design")
            views.append((view, array))
        if checkpoint.lanes not in (1, self.program.lanes) or len(views) < len(mine):
            raise ValueError(
                f"the checkpoint has {checkpoint.lanes} lanes, and the simulation "
                f"{self.program.lanes}"
            )
        buffers = {name: self.buffers.padded(name, a) for name, a in checkpoint.buffers.items()}
        for view, array in views:
            count = array.shape[2]
            view[:, :, :count] = array
            view[:, :, count:] = array[:, :, -1:]
        for name, array in buffers.items():
            self.buffers.put(name, array)
        self.cycles = checkpoint.cycles
        self._settled = False

    def _view(self, place, instance):
        """Elements of a state, (rows, instances, lanes, bytes)."""
        size = place.depth * place.row * place.bytes
        flat = self._arena[place.offset : place.offset + size]
        view = flat.reshape(place.depth, -1, place.lanes, place.bytes)
        return view[:, : place.count] if instance is None else view[:, instance : instance + 1]


class Buffers(Mapping):
    """Arrays that a design loads from and stores to, by name.

    An array has the shape (length,) if the buffer is shared by all lanes, else (length, lanes), and
    the smallest unsigned type that holds a word. Setting one copies it, and spreads what has no
    axis of lanes; getting gives the array that the design works on.
    """

    def __init__(self, program, table):
        self._program = program
        self._table = table
        self._rows = {name: row for row, name in enumerate(program.buffers)}
        self._arrays: dict[str, np.ndarray] = {}
        for name in program.buffers:
            self[name] = np.zeros(0, np.uint8)

    def __setitem__(self, name, values):
        self.put(name, self.padded(name, values))

    def padded(self, name, values):
        """What `put` takes for a buffer: ``values`` checked, in all lanes, with a word to spare."""
        if name not in self._rows:
            known = ", ".join(self._rows) or "none"
            raise KeyError(f"the design has no buffer {name}; its buffers are {known}")
        width, shared = self._program.buffers[name]
        kind = np.dtype(f"u{max(8, container(width)) // 8}")
        values = np.asarray(values)
        if not shared and values.ndim == 1:
            values = values[:, np.newaxis]
        lanes = self._program.lanes
        if values.ndim != (1 if shared else 2) or (
            not shared and values.shape[1] not in (1, lanes)
        ):
            wanted = "(length,)" if shared else f"(length,) or (length, {lanes})"
            raise ValueError(f"buffer {name} takes an array of shape {wanted}, not {values.shape}")
        if values.size and not 0 <= values.min() <= values.max() < 1 << width:
            raise ValueError(
                f"buffer {name} takes words of 0 to {(1 << width) - 1}, not of {values.min()} to "
                f"{values.max()}"
            )
        # One more word, for stores that are not enabled.
        shape = (len(values) + 1, *(() if shared else (self._program.padded_lanes,)))
        array = np.zeros(shape, kind)
        if shared:
            array[:-1] = values
        else:
            count = values.shape[1]
            array[:-1, :count] = values
            # Lanes that only fill up a vector do as the last one does.
            array[:-1, count:] = values[:, -1:]
        return array

    def put(self, name, array):
        """Let the design work on an array that `padded` gave."""
        self._arrays[name] = array
        self._table[self._rows[name]] = array.ctypes.data, len(array) - 1

    def __getitem__(self, name):
        _, shared = self._program.buffers[name]
        array = self._arrays[name][:-1]
        return array if shared else array[:, : self._program.lanes]

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self):
        return len(self._arrays)
