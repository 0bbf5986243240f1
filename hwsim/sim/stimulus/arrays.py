"""What stands in the buffers of a `Harness` before a run, and what they tell after it."""

import numpy as np

from hwsim.sim.beats import container
from hwsim.sim.engine import (
    Recording,
    Stalled,
    StreamError,
    Transfers,
    Unfinished,
    failed_message,
    patterns,
    stall_pattern,
    stalled_message,
    unfinished_message,
)

from .buffers import ADDRESS_BITS
from .harness import LIMITS

__all__ = ["contents", "raise_failure", "recording"]

_NEVER = (1 << 64) - 1


def contents(plan, stimulus, shared, first_lane=0):
    """Arrays for the buffers of a harness.

    Parameters
    ----------
    plan : Plan
    stimulus : Stimulus
    shared : mapping of str to bool
        For each buffer, whether all lanes share it: then it is (length,), else (length, lanes).
    first_lane : int
        Number of the first lane, for the stalls that a lane has of its own.

    Returns
    -------
    dict of str to ndarray
    """
    lanes = plan.lanes or 1
    limit = _NEVER if stimulus.limit is None else stimulus.limit
    limits = [stimulus.patience, limit, *(traffic.count for traffic in plan.streams)]
    arrays = {LIMITS: np.array(limits, np.uint64)}
    for traffic in plan.streams:
        for k, (bits, _) in enumerate(traffic.elements):
            if traffic.codes is None:
                array = np.zeros((traffic.count, lanes), container(bits))
            else:
                array = traffic.codes[..., k].T.astype(container(bits))
            arrays[f"{traffic.key}.{k}"] = array
        arrays[f"{traffic.key}.cycle"] = np.zeros(traffic.count, np.uint64)
        stall = f"{traffic.key}.stall"
        if stall in shared:
            bits = [
                stall_pattern(stimulus.seed, traffic.name, stimulus.stalls, lane)
                for lane in ([0] if shared[stall] else range(first_lane, first_lane + lanes))
            ]
            arrays[stall] = bits[0] if shared[stall] else np.stack(bits, axis=1)
    arrays |= patterns(stimulus)
    arrays |= {name: array.T for name, array in stimulus.buffers.items()}
    for name, is_shared in shared.items():
        if name not in arrays:
            raise ValueError(f"buffer {name!r} of an agent has no contents")
        if is_shared and arrays[name].ndim == 2:
            raise ValueError(f"buffer {name!r} is the same for all lanes, and was given for each")
    return {name: _for_lanes(arrays[name], None if s else lanes) for name, s in shared.items()}


def _for_lanes(array, lanes):
    """As it is if ``lanes`` is None, else as (length, lanes)."""
    if lanes is None:
        return array
    return np.broadcast_to(array[:, np.newaxis] if array.ndim == 1 else array, (len(array), lanes))


def recording(plan, stimulus, arrays, peek):
    """The `Recording` of a run.

    Parameters
    ----------
    plan : Plan
    stimulus : Stimulus
    arrays : mapping of str to ndarray
        Buffers after the run.
    peek : callable
        See `raise_failure`.
    """
    number = {traffic.key: k for k, traffic in enumerate(plan.streams)}

    def count(name, traffic):
        value = peek(f"{name}{number[traffic.key]}")
        if plan.lanes is None:
            return int(np.ravel(value)[0])
        return np.broadcast_to(np.asarray(value, np.int64), (plan.lanes,))

    def transfers(group):
        found = {}
        for traffic in group:
            cycles = arrays[f"{traffic.key}.cycle"].astype(np.int64)
            codes = traffic.codes
            if codes is None:
                columns = [arrays[f"{traffic.key}.{k}"] for k in range(len(traffic.elements))]
                codes = np.stack(columns, dtype=max(column.dtype for column in columns)).T
            if plan.lanes is None:
                cycles = cycles.reshape(traffic.count)
                codes = codes.reshape(traffic.count, len(traffic.elements))
            else:
                cycles = np.broadcast_to(cycles.T, (plan.lanes, traffic.count))
                codes = np.broadcast_to(codes, (*cycles.shape, len(traffic.elements)))
            found[traffic.name] = Transfers(
                cycles, codes, traffic.elements, count("held", traffic), count("starved", traffic)
            )
        return found

    buffers = {}
    for name, before in stimulus.buffers.items():
        # What no circuit uses is as it was.
        array = arrays.get(name, before.T)
        if plan.lanes is None:
            buffers[name] = array.reshape(len(array))
        else:
            buffers[name] = np.broadcast_to(array.T, (plan.lanes, len(array)))
    return Recording(
        transfers(plan.inputs), transfers(plan.outputs), transfers(plan.probes), buffers
    )


def raise_failure(harness, plan, stimulus, peek, now):
    """Raise what the harness says that failed: of the first lane of which it says so.

    Parameters
    ----------
    harness : Harness
    plan : Plan
    stimulus : Stimulus
    peek : callable
        ``peek(name)`` gives an output of the harness: an integer, or one for each lane.
    now : int
        Number of the next cycle.

    Raises
    ------
    StreamError, Stalled, Unfinished
    """
    lanes = plan.lanes or 1

    def values(name):
        return [int(value) for value in np.broadcast_to(np.asarray(peek(name), object), (lanes,))]

    stop, end, stalled, expired = (values(name) for name in ("stop", "end", "stalled", "expired"))
    failed = [values(f"failed{k}") for k in range(len(harness.failures))]
    for lane in range(lanes):
        failures = []
        for k, numbers in enumerate(failed):
            if numbers[lane]:
                # What is known are the low bits of the number of a cycle that has been.
                ago = (now - values(f"failed_cycle{k}")[lane]) % (1 << ADDRESS_BITS)
                failures.append((now - ago, k, numbers[lane]))
        cycle, k, number = min(failures, default=(now, 0, 0))
        # One lane goes on, and may fail, while others are not at their end.
        if number and not (stop[lane] and cycle >= end[lane]):
            who, failure = harness.failures[k]
            raise StreamError(failed_message(who, failure.messages[number], cycle))
        if stalled[lane]:
            waits = values("waits")[lane]
            states = [
                (name, waits >> 2 * k & 1, waits >> 2 * k + 1 & 1)
                for k, (name, _) in enumerate(plan.channels)
            ]
            raise Stalled(stalled_message(stimulus.patience, end[lane], states))
        if expired[lane]:
            positions = [
                (traffic.name, values(f"position{k}")[lane], traffic.count)
                for k, traffic in enumerate(plan.streams)
            ]
            raise Unfinished(unfinished_message(stimulus.limit, positions))
