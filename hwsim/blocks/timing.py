"""When each beat moves: units as cyclo-static dataflow actors, evaluated exactly, to the cycle.

Every streaming unit issues *actions*. The sequence of actions of one frame is fixed by the
configuration and repeats for each frame (cyclo-static dataflow, Bilsen et al., "Cyclo-static
dataflow", IEEE Trans. Signal Processing 44 (2), 1996). An action

* starts when the actor is free and a beat waits at every port that the action reads,
* runs for ``duration`` cycles; in the last one it needs room at the output if it puts a beat there,
* in that last cycle takes the beats that it takes and issues the beat that it puts.

A beat issued in cycle ``t`` waits at the other end of its edge from cycle ``t + forward`` on; the
room that it takes is free again from cycle ``u + backward`` on, where ``u`` is the cycle in which
the beat is taken. An edge into a `hwsim.rtl` FIFO has ``forward = latency of the unit's pipeline +
1`` and ``backward = 1``; a register that is reloaded in the cycle in which it is emptied has
``forward = 1``, ``backward = 0`` and room for one.

Sliding windows reach beyond the end of a frame: the last windows come out while the next frame
moves in. ``tail`` holds these trailing actions. They merge with the first actions of the next
frame, or run alone while no beat of a next frame waits.
"""

import functools
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Actor", "Deadlock", "Edge", "Trace", "evaluate"]


class Deadlock(RuntimeError):
    """No actor can move and beats are missing.

    The message names the actors and what each waits for.
    """


@dataclass(frozen=True, eq=False)
class Actor:
    """One unit's actions in one frame.

    Parameters
    ----------
    name : str
    duration : ndarray of int, (actions,)
        Cycles of each action, at least 1.
    takes : mapping of input port to ndarray of bool, (actions,)
        Whether the action takes a beat there in its last cycle.
    puts : ndarray of bool, (actions,)
        Whether the action issues an output beat in its last cycle.
    reads : mapping of input port to ndarray of bool, optional
        Whether the action needs a waiting beat at all; as ``takes`` unless given.
    tail : ndarray of bool
        Output beats of the trailing single-cycle actions after the frame's own (see the module's
        text).
    repeats : int
        How often all of this happens in a frame of the unit, such as one that is a batch of maps.
    """

    name: str
    duration: np.ndarray
    takes: dict[str, np.ndarray]
    puts: np.ndarray
    reads: dict[str, np.ndarray] = field(default_factory=dict)
    tail: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    repeats: int = 1

    @property
    def work(self):
        """Cycles of one frame if the actor never waits."""
        return int(self.duration.sum()) * self.repeats

    @property
    def beats(self):
        """Output beats of one frame."""
        return int(self.puts.sum() + self.tail.sum()) * self.repeats


@dataclass(frozen=True)
class Edge:
    """A connection. ``producer`` None: the source, always ready to give.

    ``consumer`` None: the sink, always ready.

    Parameters
    ----------
    producer, consumer : str or None
        Names of actors.
    port : str
        Input port of the consumer.
    capacity : int or None
        Beats issued and not yet taken that there is room for; None is without limit.
    forward, backward : int
        Cycles, see the module's text.
    """

    producer: str | None
    consumer: str | None
    port: str = "i"
    capacity: int | None = None
    forward: int = 1
    backward: int = 1


@dataclass(frozen=True, eq=False)
class Trace:
    """Result of `evaluate`.

    Members
    -------
    source : ndarray of int64
        Cycles in which beats were taken from the (first) source.
    sink : ndarray of int64
        Cycles in which beats left to the (first) sink.
    issue : mapping of actor name to ndarray
        Cycles in which the actor issued output beats.
    occupancy : mapping of Edge to int
        Largest number of beats that had been issued and not taken.
    taken : mapping of Edge to ndarray of int64
        Cycles in which beats left the edge.
    """

    source: np.ndarray
    sink: np.ndarray
    issue: dict[str, np.ndarray]
    occupancy: dict[Edge, int]
    taken: dict[Edge, np.ndarray]

    @property
    def cycles(self):
        """From the first beat taken from a source to the last given to a sink, both included."""
        first = min(int(t[0]) for edge, t in self.taken.items() if edge.producer is None)
        return (
            max(int(t[-1]) for edge, t in self.taken.items() if edge.consumer is None) - first + 1
        )


# A cycle that never comes.
_NEVER = 1 << 62


def _run(
    actors,
    first,
    last,
    duration,
    reads,
    takes,
    puts,
    tail,
    tail_first,
    tail_last,
    into,
    out,
    issues,
    index,
    trailing,
    left,
    free,
    issued,
    awake,
    alone,
    producer,
    consumer,
    bit,
    forward,
    backward,
    capacity,
    next_into,
    next_out,
    takings,
    taken,
    times,
):
    """Let all actors move until none can.

    Each goes ahead as far as it is known when beats arrive and when there is room, whatever cycle
    the others have reached. A trailing action runs alone only if no beat comes before it. Where
    that cannot be known because the actor itself holds others up, all actors wait, and nothing can
    happen before the earliest of these actions.

    Of each action: ``duration``, the ports that it ``reads`` and ``takes`` from, as bits, and
    whether it ``puts``. Of each actor: ranges of its actions and of its ``tail``, its first edge on
    either side, where its ``issues`` begin in ``times``; and its state: the action (``index``), the
    ``trailing`` action, frames ``left``, the cycle from which it is ``free``, beats ``issued``,
    whether to look at it (``awake``), the cycle in which it goes on ``alone`` if no beat comes. Of
    each edge: both ends (-1: the sink), the ``bit`` of its port, delays, ``capacity``, the next
    edge of the same consumer and producer (-1: none), where its ``takings`` begin in ``times``; and
    its state: beats ``taken``.
    """
    forced = -1  # the actor whose trailing action is the earliest of all
    moving = 1
    while moving:
        moving = 0
        a = 0
        while a < actors:
            looks = awake[a]
            awake[a] = 0
            while looks:
                looks = 0
                alone[a] = _NEVER
                k = index[a]
                put = puts[k]
                put_alone = 0
                pending = trailing[a] < tail_last[a]
                if pending:
                    put_alone = tail[trailing[a]]
                    put = put | put_alone
                # When the beats wait that the action reads, as far as that is known.
                known = left[a] > 0
                arrival = 0
                e = into[a]
                while e >= 0:
                    if reads[k] & bit[e]:
                        if taken[e] < issued[producer[e]]:
                            beat = times[issues[producer[e]] + taken[e]]
                            arrival = max(arrival, beat + forward[e])
                        else:
                            known = 0
                    e = next_into[e]
                # When there is room at all outputs.
                room = 0
                e = out[a]
                while e >= 0:
                    before = issued[a] - capacity[e]
                    if before >= taken[e]:
                        room = _NEVER
                    else:
                        if before >= 0:
                            room = max(room, times[takings[e] + before] + backward[e])
                    e = next_out[e]
                t = free[a]
                by_itself = 0
                if pending and k == first[a]:
                    t = max(t, put_alone * room)
                    if left[a] == 0 or arrival > t or forced == a:
                        by_itself = 1
                    else:
                        if not known:
                            alone[a] = t
                if not by_itself:
                    t = max(max(free[a], arrival) + duration[k] - 1, put * room)
                    if not known:
                        t = _NEVER
                if forced == a:
                    forced = -1
                if t < _NEVER:
                    looks = 1
                    moving = 1
                    free[a] = t + 1
                    trailing[a] += pending
                    if by_itself:
                        put = put_alone
                    if put:
                        times[issues[a] + issued[a]] = t
                        issued[a] += 1
                        e = out[a]
                        while e >= 0:
                            if consumer[e] < 0:
                                times[takings[e] + taken[e]] = t + forward[e]
                                taken[e] += 1
                            else:
                                awake[consumer[e]] = 1
                            e = next_out[e]
                    if not by_itself:
                        e = into[a]
                        while e >= 0:
                            if takes[k] & bit[e]:
                                times[takings[e] + taken[e]] = t
                                taken[e] += 1
                                awake[producer[e]] = 1
                            e = next_into[e]
                        index[a] += 1
                        if index[a] == last[a]:
                            index[a] = first[a]
                            left[a] -= 1
                            trailing[a] = tail_first[a]
            a += 1
        if not moving:
            t = _NEVER
            a = 0
            while a < actors:
                if alone[a] < t:
                    t = alone[a]
                    forced = a
                a += 1
            if forced >= 0:
                awake[forced] = 1
                moving = 1


def _most(issued, taken):
    """Most beats that had been issued and not taken; both are in order."""
    most = gone = 0
    for k in range(len(issued)):
        while gone < len(taken) and taken[gone] <= issued[k]:
            gone += 1
        most = max(most, k + 1 - gone)
    return most


@functools.cache
def _compiled(function):
    """A function in machine code, which is kept on disk where there is a place for it."""
    from numba import njit  # here, as it takes as long as importing all of the package

    try:
        return njit(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return njit(function)


def evaluate(actors, edges, frames=1, *, interval=0, lead=0):
    """Run actors over ``frames`` frames.

    The sink is always ready, the source as soon as a frame is offered.

    Parameters
    ----------
    actors : sequence of Actor
    edges : sequence of Edge
        At least one leads from a source (``producer`` None) and one to a sink (``consumer`` None).
        There is no loop.
    frames : int
    interval : int
        The source offers frame ``f`` from cycle ``f * interval - lead`` on.
    lead : int
        See above; the first frame is offered in cycle 0 all the same.

    Returns
    -------
    Trace

    Raises
    ------
    Deadlock
        If beats are missing at the sink and nothing can move any more.
    """
    actors, edges = tuple(actors), tuple(edges)
    starts = np.maximum(np.arange(frames) * interval - lead, 0)
    tables = _tables(actors, edges, frames, starts)
    _compiled(_run)(actors=len(actors), **tables)
    issue, taken = (
        {
            key: tables["times"][begin : begin + count]
            for key, begin, count in zip(keys, tables[begins], tables[counts], strict=False)
        }
        for keys, begins, counts in (
            ([actor.name for actor in actors], "issues", "issued"),
            (edges, "takings", "taken"),
        )
    )
    by_name = {actor.name: actor for actor in actors}
    for edge in edges:
        if edge.consumer is None and len(taken[edge]) < frames * by_name[edge.producer].beats:
            rest = zip(actors, tables["left"], strict=True)
            stuck = ", ".join(actor.name for actor, frames in rest if frames)
            raise Deadlock(
                f"no unit can move with {stuck} unfinished; a FIFO on a path that rejoins is too "
                "shallow"
            )
    occupancy = {edge: _peak(edge, issue.get(edge.producer), taken[edge]) for edge in edges}
    source = next(edge for edge in edges if edge.producer is None)
    sink = next(edge for edge in edges if edge.consumer is None)
    return Trace(taken[source], taken[sink], issue, occupancy, taken)


def _tables(actors, edges, frames, starts):
    """Arguments of `_run`, but for the first; frames are offered from the cycles ``starts`` on."""
    number = {actor.name: a for a, actor in enumerate(actors)}
    consumer = [number.get(edge.consumer, -1) for edge in edges]
    # A source counts as one more actor, which has issued all that it offers.
    offered: list[np.ndarray] = []
    producer = []
    for edge in edges:
        producer.append(number.get(edge.producer, len(actors) + len(offered)))
        if edge.producer is None:
            reader = actors[number[edge.consumer]]
            beats = int(reader.takes[edge.port].sum()) * reader.repeats
            offered.append(starts.repeat(beats))
    beats = [frames * actor.beats for actor in actors] + [len(cycles) for cycles in offered]
    begins = np.cumsum([0, *beats, *(beats[p] for p in producer)])
    issues, takings = begins[: len(beats)], begins[len(beats) :]
    times = np.zeros(begins[-1], np.int64)
    times[issues[len(actors)] : takings[0]] = np.concatenate(offered)
    bit = [1 << consumer[:k].count(a) for k, a in enumerate(consumer)]
    takes = [np.zeros(len(actor.puts), np.int64) for actor in actors]
    reads = [np.zeros(len(actor.puts), np.int64) for actor in actors]
    for edge, a, port in zip(edges, consumer, bit, strict=True):
        if a >= 0:
            own = actors[a].takes[edge.port]
            takes[a] += port * own
            reads[a] += port * actors[a].reads.get(edge.port, own)
    first, last = _ranges([actor.puts for actor in actors])
    tail_first, tail_last = _ranges([actor.tail for actor in actors])
    into, next_into = _linked(consumer, len(actors))
    out, next_out = _linked(producer, len(actors))
    return {
        "first": first,
        "last": last,
        "duration": _words(np.concatenate([actor.duration for actor in actors])),
        "reads": np.concatenate(reads),
        "takes": np.concatenate(takes),
        "puts": _words(np.concatenate([actor.puts for actor in actors])),
        "tail": _words(np.concatenate([actor.tail for actor in actors])),
        "tail_first": tail_first,
        "tail_last": tail_last,
        "into": into,
        "out": out,
        "issues": issues,
        "index": first.copy(),
        "trailing": tail_last.copy(),
        "left": _words([frames * actor.repeats for actor in actors]),
        "free": _words([0] * len(actors)),
        "issued": _words([0] * len(actors) + beats[len(actors) :]),
        "awake": _words([1] * len(beats)),
        "alone": _words([0] * len(actors)),
        "producer": _words(producer),
        "consumer": _words(consumer),
        "bit": _words(bit),
        "forward": _words([0 if edge.producer is None else edge.forward for edge in edges]),
        "backward": _words([edge.backward for edge in edges]),
        "capacity": _words([_NEVER if edge.capacity is None else edge.capacity for edge in edges]),
        "next_into": next_into,
        "next_out": next_out,
        "takings": takings,
        "taken": _words([0] * len(edges)),
        "times": times,
    }


def _words(values):
    return np.ascontiguousarray(values, np.int64)


def _ranges(parts):
    """Where each of the parts begins and ends among all."""
    ends = np.cumsum([len(part) for part in parts])
    return ends - [len(part) for part in parts], ends


def _linked(ends, actors):
    """The first edge of each actor, and the next one of each edge; -1 after the last."""
    first, following = np.full(actors, -1), np.full(len(ends), -1)
    for edge, actor in reversed([*enumerate(ends)]):
        if 0 <= actor < actors:
            following[edge], first[actor] = first[actor], edge
    return first, following


def _peak(edge, issued, taken):
    """Most beats on an edge."""
    if edge.producer is None or edge.consumer is None:
        return int(edge.consumer is None)
    return int(_compiled(_most)(issued, taken))
