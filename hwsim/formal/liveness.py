"""Deadlock freedom of streaming pipelines, for any times and any stalls.

A pipeline is a network of actors with fixed sequences of actions (`hwsim.blocks.timing`), joined by
queues of limited depth. An action that can be done stays possible whatever the others do, until it
is done: the order in which actions are done changes neither what each takes and puts nor whether
the network can go on (a marked graph, once every action of every frame is written down; Commoner,
Holt, Even and Pnueli, "Marked directed graphs", Journal of Computer and System Sciences 5, 1971).
So one order is as good as all: let every actor do what it can, until the state between two results
repeats. If it does, no order of actions and hence no stall leads to a deadlock, ever.

The trailing actions of a sliding window are the exception. While no beat of a next frame waits they
are done alone; else they merge with the next frame's first actions, any number of them. A deadlock
is a cycle of actions each of which waits for the next. Let a trailing put ``j`` and the next
frame's take ``i`` be done at once if ``j = i + k``, where ``k`` actions were done alone. The cycle
goes through an actor either from a put to an earlier or equal take, and then is there for ``k = 0``
too, or from a take to a put, and then is there for the largest ``k`` too. A shortest cycle goes
through each actor once, since its actions stand in one order, and so meets one border between
frames of each. Hence it is enough to try the two extremes of each actor: all trailing actions
merged, or all alone. Only actors on a path that rejoins can be in a cycle: the others are tried at
one extreme.
"""

from dataclasses import dataclass
from itertools import product

__all__ = ["Liveness", "check_liveness"]

# Actors with trailing actions that are tried in both ways: 4096 runs.
MOST = 12
FRAMES = 64


@dataclass(frozen=True)
class Liveness:
    """Whether a pipeline can get stuck.

    Members
    -------
    holds : bool
    cases : int
        Ways to do trailing actions that were tried.
    frames : int
        After so many frames the state has repeated, at the latest.
    stuck : tuple of str
        For each actor that waits for ever, what for; empty if there is none.
    """

    holds: bool
    cases: int
    frames: int
    stuck: tuple[str, ...] = ()


def check_liveness(actors, edges):
    """Decide whether a pipeline is free of deadlocks.

    Parameters
    ----------
    actors : sequence of `hwsim.blocks.timing.Actor`
    edges : sequence of `hwsim.blocks.timing.Edge`
        As of a `hwsim.blocks.streaming.StreamingPlan`.

    Returns
    -------
    Liveness

    Raises
    ------
    ValueError
        If more than 12 actors with trailing actions are on paths that rejoin.
    """
    rejoining = _rejoining(actors, edges)
    both = [a.name for a in actors if a.tail.any() and a.name in rejoining]
    if len(both) > MOST:
        raise ValueError(
            f"at most {MOST} sliding windows may lie on paths that rejoin, not {len(both)}"
        )
    frames = cases = 0
    for chosen in product((False, True), repeat=len(both)):
        alone = {name for name, way in zip(both, chosen, strict=True) if way}
        cases += 1
        reached, stuck = _run(actors, edges, alone)
        frames = max(frames, reached)
        if stuck:
            return Liveness(False, cases, frames, stuck)
    return Liveness(True, cases, frames)


def _rejoining(actors, edges):
    """Names of actors that lie on a cycle of connections, whichever way these lead.

    The source is one point and so is the sink: neither has an order in which it serves its edges.
    """
    inner = [(e.producer, e.consumer) for e in edges if e.producer and e.consumer]
    names = [actor.name for actor in actors]

    def reach(start, without):
        seen, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for k, pair in enumerate(inner):
                if k != without and here in pair:
                    other = pair[pair[0] == here]
                    if other not in seen:
                        seen.add(other)
                        todo.append(other)
        return seen

    found = set()
    for k, (producer, consumer) in enumerate(inner):
        if consumer in reach(producer, k):
            found |= {producer, consumer}
    return found & set(names)


class _Walk:
    """Where an actor stands: an endless list of actions.

    An action is (edges that need a beat, edges that lose one, whether it puts a beat).
    """

    def __init__(self, actor, inputs, alone):
        reads = {p: actor.reads.get(p, actor.takes[p]) for p in inputs}
        own = [
            (
                tuple(inputs[p] for p in inputs if reads[p][k]),
                tuple(inputs[p] for p in inputs if actor.takes[p][k]),
                bool(put),
            )
            for k, put in enumerate(actor.puts)
        ]
        tail = actor.tail.tolist()
        if alone:
            self.first, self.later = own, [((), (), put) for put in tail] + own
        else:
            merged = [
                (*action[:2], action[2] or (k < len(tail) and tail[k]))
                for k, action in enumerate(own)
            ]
            self.first, self.later = own, merged
        self.actions = self.first
        self.index = self.frames = 0

    @property
    def action(self):
        return self.actions[self.index]

    def advance(self):
        self.index += 1
        if self.index == len(self.actions):
            self.actions, self.index = self.later, 0
            self.frames += 1


def _run(actors, edges, alone):
    """(frames until the state repeats, why actors wait if they do for ever)."""
    edges = [e for e in edges if e.producer is not None and e.consumer is not None]
    waiting = [0] * len(edges)
    walks = {}
    outputs = {}
    for actor in actors:
        inputs = {e.port: k for k, e in enumerate(edges) if e.consumer == actor.name}
        used = {p: inputs[p] for p in actor.takes if p in inputs}
        walks[actor.name] = _Walk(actor, used, actor.name in alone)
        outputs[actor.name] = [k for k, e in enumerate(edges) if e.producer == actor.name]
    capacities = [e.capacity for e in edges]
    last = actors[-1].name
    seen, frames = {}, 0
    while True:
        moved = False
        for name, walk in walks.items():
            outs = outputs[name]
            while True:
                needs, takes, puts = walk.action
                if not all(waiting[k] for k in needs):
                    break
                if puts and any(
                    capacities[k] is not None and waiting[k] >= capacities[k] for k in outs
                ):
                    break
                for k in takes:
                    waiting[k] -= 1
                if puts:
                    for k in outs:
                        waiting[k] += 1
                before = walk.frames
                walk.advance()
                moved = True
                if name == last and walk.frames != before:
                    break  # look at the state between two frames
                if not needs and not outs:
                    break  # nothing would stop it
        if not moved:
            return frames, _reasons(walks, outputs, edges, waiting, capacities)
        if walks[last].frames > frames:
            frames = walks[last].frames
            state = (
                *waiting,
                *(w.index for w in walks.values()),
                *(w.actions is w.later for w in walks.values()),
            )
            if state in seen:
                return frames, ()
            seen[state] = frames


def _reasons(walks, outputs, edges, waiting, capacities):
    reasons = []
    for name, walk in walks.items():
        needs, _, puts = walk.action
        empty = [edges[k].producer for k in needs if not waiting[k]]
        full = [
            edges[k].consumer
            for k in outputs[name]
            if puts and capacities[k] is not None and waiting[k] >= capacities[k]
        ]
        why = [f"a beat of {k}" for k in empty] or [f"room before {k}" for k in full]
        reasons.append(f"{name} waits for {' and '.join(why)}")
    return tuple(reasons)
