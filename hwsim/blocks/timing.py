"""When each beat moves: units as cyclo-static dataflow actors, evaluated cycle by cycle, exactly.

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

import heapq
from collections import deque
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


class _EdgeState:
    def __init__(self, edge):
        self.edge = edge
        self.waiting: deque[int] = deque()  # cycle from which each issued, untaken beat waits
        # Cycle from which each free piece of room may be used; None stands for room without limit.
        self.room = None if edge.capacity is None else deque([0] * edge.capacity)
        self.peak = 0
        self.taken: list[int] = []

    def issue(self, t):
        self.waiting.append(t + self.edge.forward)
        if self.room is not None:
            self.room.popleft()
        if len(self.waiting) > self.peak:
            self.peak = len(self.waiting)
        if self.edge.consumer is None:
            self.take(t + self.edge.forward)

    def take(self, t):
        self.taken.append(t)
        self.waiting.popleft()
        if self.room is not None:
            self.room.append(t + self.edge.backward)


class _ActorState:
    """Where an actor stands in its frame, and in the trailing actions of the one before."""

    def __init__(self, actor, inputs, outputs, frames):
        self.outputs = outputs
        self.inputs = list(inputs.values())
        self.frames_left = frames * actor.repeats
        self.index = 0
        self.tail = actor.tail.tolist()
        self.tail_index = len(self.tail)  # nothing pending
        self.end = None  # last cycle of the action under way
        self.issues = []
        self.durations = actor.duration.tolist()
        self.puts = actor.puts.tolist()
        reads = {port: actor.reads.get(port, actor.takes[port]) for port in inputs}
        self.reads = [[inputs[p] for p in inputs if reads[p][k]] for k in range(len(self.puts))]
        self.takes = [
            [inputs[p] for p in inputs if actor.takes[p][k]] for k in range(len(self.puts))
        ]

    def act(self, t):
        """Do what can be done in cycle ``t``.

        Returns whether a beat may have moved, and the cycle at which to look again (None: when a
        neighbour moves).
        """
        pending = self.tail_index < len(self.tail)
        if self.end is None:
            if self.frames_left and self._arrived(t):
                self.end = t + self.durations[self.index] - 1
            elif pending and self.index == 0:
                moved, room = self._step(t, self.tail[self.tail_index], alone=True)
                if moved:
                    return True, room
                # Without room yet: a beat of the next frame may come first, and then the action
                # merges with it.
                return False, min(
                    (c for c in (room, self._next_arrival()) if c is not None), default=None
                )
            else:
                return False, self._next_arrival()
        if t < self.end:
            return False, self.end
        return self._step(t, self.puts[self.index] or (pending and self.tail[self.tail_index]))

    def _step(self, t, put, alone=False):
        if put:
            room = self._next_room(t)
            if room != t:
                if self.durations[self.index] == 1:
                    self.end = None  # not begun: looked at afresh next time
                return False, room
            self.issues.append(t)
            for edge in self.outputs:
                edge.issue(t)
        if self.tail_index < len(self.tail):
            self.tail_index += 1
        if not alone:
            for edge in self.takes[self.index]:
                edge.take(t)
            self.end = None
            self.index += 1
            if self.index == len(self.puts):
                self.index = 0
                self.frames_left -= 1
                self.tail_index = 0
        return True, t + 1

    def _arrived(self, t):
        # Loops: these run for every action, and generators would take twice as long.
        for edge in self.reads[self.index]:  # noqa: SIM110
            if not edge.waiting or edge.waiting[0] > t:
                return False
        return True

    def _next_arrival(self):
        if not self.frames_left:
            return None
        arrival = 0
        for edge in self.reads[self.index]:
            if not edge.waiting:
                return None
            if edge.waiting[0] > arrival:
                arrival = edge.waiting[0]
        return arrival

    def _next_room(self, t):
        for edge in self.outputs:
            if edge.room is not None:
                if not edge.room:
                    return None
                if edge.room[0] > t:
                    t = edge.room[0]
        return t


def _consumers_first(names, edges):
    """Actor names such that each comes after all actors that it feeds."""
    order, seen = [], set()

    def visit(name):
        if name not in seen:
            seen.add(name)
            for edge in edges:
                if edge.producer == name and edge.consumer is not None:
                    visit(edge.consumer)
            order.append(name)

    for name in names:
        visit(name)
    return order


def _run(runs, wakes):
    """Let all actors move until none can."""
    agenda = [(0, k) for k in range(len(runs))]
    heapq.heapify(agenda)
    # The cycle each actor is next looked at; later entries in the agenda are stale.
    due: list[int | None] = [0] * len(runs)
    while agenda:
        t, k = heapq.heappop(agenda)
        if due[k] != t:
            continue
        due[k] = None
        moved, again = runs[k].act(t)
        if again is not None and (due[k] is None or again < due[k]):
            due[k] = again
            heapq.heappush(agenda, (again, k))
        if not moved:
            continue
        for other, delay in wakes[k]:
            if due[other] is None or t + delay < due[other]:
                due[other] = t + delay
                heapq.heappush(agenda, (t + delay, other))


def _chain(actors, edges):
    """(actor, edge into it, edge out of it) from source to sink; None where actors branch."""
    if len(edges) != len(actors) + 1:
        return None
    by_producer = {edge.producer: edge for edge in edges}
    by_name = {actor.name: actor for actor in actors}
    chain = []
    edge = by_producer.get(None)
    while edge is not None and edge.consumer is not None:
        actor, into = by_name.pop(edge.consumer, None), edge
        edge = by_producer.get(into.consumer)
        if actor is None or edge is None or set(actor.takes) != {into.port} or actor.repeats > 1:
            return None
        chain.append((actor, into, edge))
    return None if by_name or edge is None else chain


def _straight_through(actors, edges):
    """`Trace` of one frame through a chain whose actors never wait for room, all at once.

    Each actor is scheduled as if there were always room. If that keeps within the capacities it is
    what happens; None if not, or where actors branch.
    """
    chain = _chain(actors, edges)
    if chain is None:
        return None
    issue, occupancy, taken = {}, {}, {}
    waits = np.zeros(int(chain[0][0].takes[chain[0][1].port].sum()), np.int64)
    room = None  # issues into the edge before, and its capacity
    for actor, into, out in chain:
        takes = actor.takes[into.port]
        reads = actor.reads.get(into.port, takes)
        needed = np.cumsum(takes) - takes  # index of the beat that an action reads
        if len(waits) != takes.sum() or (needed[reads] >= len(waits)).any():
            return None
        arrival = np.zeros(len(takes), np.int64)
        arrival[reads] = waits[needed[reads]]
        # Actions one after another: start[k] >= start[k - 1] + duration[k - 1].
        before = np.cumsum(actor.duration) - actor.duration
        end = before + np.maximum.accumulate(arrival - before) + actor.duration - 1
        left = taken[into] = end[takes]
        if room is not None and not _fits(room, left, into):
            return None
        occupancy[into] = 0 if room is None else _peak(room, left)
        trailing = (end[-1] + 1 + np.arange(len(actor.tail)))[actor.tail]
        room = issue[actor.name] = np.concatenate([end[actor.puts], trailing])
        waits = room + out.forward
    if not len(waits) or not _fits(room, waits, out):
        return None
    taken[out], occupancy[out] = waits, 1
    return Trace(taken[chain[0][1]], waits, issue, occupancy, taken)


def _fits(issued, taken, edge):
    """Whether there was room for each beat in the cycle in which it was issued."""
    capacity = edge.capacity
    if capacity is None or len(issued) <= capacity:
        return True
    return bool((issued[capacity:] >= taken[:-capacity] + edge.backward).all())


def _peak(issued, taken):
    """Most beats that had been issued and not taken."""
    gone = np.searchsorted(taken, issued, side="right")
    return int((np.arange(1, len(issued) + 1) - gone).max(initial=0))


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
    if frames == 1 and (trace := _straight_through(actors, edges)) is not None:
        return trace
    states = {edge: _EdgeState(edge) for edge in edges}
    by_name = {actor.name: actor for actor in actors}
    # Within a cycle consumers act first: where backward is 0, the room that they free is used in
    # the same cycle.
    names = _consumers_first(by_name, edges)
    order = {name: k for k, name in enumerate(names)}
    runs = []
    wakes = []  # per actor: (neighbour, cycles after a move at which it may find a beat, or room)
    for name in names:
        inputs = [edge for edge in edges if edge.consumer == name]
        outputs = [edge for edge in edges if edge.producer == name]
        ports = {edge.port: states[edge] for edge in inputs}
        runs.append(_ActorState(by_name[name], ports, [states[edge] for edge in outputs], frames))
        wakes.append(
            [(order[edge.producer], edge.backward) for edge in inputs if edge.producer is not None]
            + [
                (order[edge.consumer], edge.forward)
                for edge in outputs
                if edge.consumer is not None
            ]
        )
    sources = [edge for edge in edges if edge.producer is None]
    sinks = [edge for edge in edges if edge.consumer is None]
    for edge in sources:
        consumer = by_name[edge.consumer]
        beats = int(consumer.takes[edge.port].sum()) * consumer.repeats
        starts = np.maximum(np.arange(frames, dtype=np.int64) * interval - lead, 0)
        offered = starts.repeat(beats)
        states[edge].waiting.extend(offered.tolist())
    _run(runs, wakes)
    for edge in sinks:
        last = by_name[edge.producer]
        if len(states[edge].taken) < frames * last.repeats * int(last.puts.sum() + last.tail.sum()):
            stuck = [name for name in by_name if runs[order[name]].frames_left]
            raise Deadlock(
                f"no unit can move with {', '.join(stuck)} unfinished; a FIFO on a path that "
                "rejoins is too shallow"
            )
    taken = {edge: np.array(state.taken, np.int64) for edge, state in states.items()}
    issue = {name: np.array(run.issues, np.int64) for name, run in zip(names, runs, strict=True)}
    occupancy = {edge: state.peak for edge, state in states.items()}
    return Trace(taken[sources[0]], taken[sinks[0]], issue, occupancy, taken)
