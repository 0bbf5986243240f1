"""The timing model: small stories with known ends, and random chains cycle by cycle."""

import numpy as np
import pytest

from hwsim.blocks.timing import Actor, Deadlock, Edge, evaluate


def actor(name, duration, takes=None, puts=None, **rest):
    """An actor with one input port; actions take and put unless told otherwise."""
    duration = np.array(duration)
    every = np.ones(len(duration), bool)
    takes = every if takes is None else np.array(takes, bool)
    puts = every if puts is None else np.array(puts, bool)
    return Actor(name, duration, {"i": takes}, puts, **rest)


def queue(producer, consumer, depth, latency=0):
    """An edge into a FIFO, as behind a unit with a pipeline of ``latency`` stages."""
    return Edge(producer, consumer, capacity=depth, forward=latency + 1)


def test_one_actor():
    unit = actor("unit", [3, 1, 2])
    trace = evaluate((unit,), (Edge(None, "unit"), queue("unit", None, 8, latency=4)), 2)
    assert unit.work == 6
    assert trace.source.tolist() == [2, 3, 5, 8, 9, 11]
    assert trace.sink.tolist() == [7, 8, 10, 13, 14, 16]
    assert trace.cycles == 15


def test_shallow_queue():
    """Room for one beat, which takes two cycles to pass; its room comes back in a third."""
    unit = actor("unit", [1])
    trace = evaluate((unit,), (Edge(None, "unit"), queue("unit", None, 1, latency=1)), 4)
    assert trace.source.tolist() == [0, 3, 6, 9]


def test_register_between_actors():
    """A register that is reloaded as it is emptied does not slow the pair down."""
    first, second = actor("first", [1]), actor("second", [3])
    edges = (
        Edge(None, "first"),
        Edge("first", "second", capacity=1, forward=1, backward=0),
        queue("second", None, 2),
    )
    trace = evaluate((first, second), edges, 4)
    assert trace.source.tolist() == [0, 3, 6, 9]
    assert trace.sink.tolist() == [4, 7, 10, 13]
    assert trace.occupancy[edges[1]] == 1


def test_source_offers_frames_at_intervals():
    unit = actor("unit", [1, 1])
    trace = evaluate((unit,), (Edge(None, "unit"), queue("unit", None, 4)), 3, interval=5)
    assert trace.source.tolist() == [0, 1, 5, 6, 10, 11]


def test_tail_merges_with_the_next_frame():
    """Two trailing actions of which the second puts: in the next frame's second cycle."""
    unit = actor("unit", [1, 1, 1], puts=[0, 0, 1], tail=np.array([False, True]))
    edges = (Edge(None, "unit"), queue("unit", None, 4))
    assert evaluate((unit,), edges, 2).sink.tolist() == [3, 5, 6, 8]


def test_tail_runs_alone_until_the_next_frame_comes():
    unit = actor("unit", [1, 1, 1], puts=[0, 0, 1], tail=np.array([False, True, False, True]))
    edges = (Edge(None, "unit"), queue("unit", None, 4))
    # The next frame comes in cycle 5: two trailing actions have run alone, the other two merge.
    assert evaluate((unit,), edges, 2, interval=5).sink.tolist() == [3, 5, 7, 8, 10, 12]


def test_fork_that_rejoins():
    """A branch that holds three beats back needs as many places beside it, or nothing moves."""
    fork = actor("fork", [1] * 8)
    late = actor("late", [1] * 11, takes=[1] * 8 + [0] * 3, puts=[0] * 3 + [1] * 8)
    every = np.ones(8, bool)
    join = Actor("join", np.ones(8, int), {"i0": every, "i1": every}, every)

    def edges(depth):
        return (
            Edge(None, "fork"),
            Edge("fork", "late", capacity=1),
            Edge("fork", "join", "i0", capacity=depth),
            Edge("late", "join", "i1", capacity=2),
            queue("join", None, 2),
        )

    assert len(evaluate((fork, late, join), edges(4), 3).sink) == 24
    with pytest.raises(Deadlock) as error:
        evaluate((fork, late, join), edges(3), 3)
    assert str(error.value) == (
        "no unit can move with fork, late, join unfinished; a FIFO on a path that rejoins is too "
        "shallow"
    )


def test_several_sources_and_sinks():
    every = np.ones(2, bool)
    adder = Actor("adder", np.ones(2, int), {"i0": every, "i1": every}, every)
    first, second = (Edge("adder", None, f"o{k}", capacity=2, forward=2 + k) for k in range(2))
    trace = evaluate(
        (adder,), (Edge(None, "adder", "i0"), Edge(None, "adder", "i1"), first, second), 2
    )
    assert trace.source.tolist() == [0, 1, 4, 5]
    assert trace.taken[first].tolist() == trace.sink.tolist() == [2, 3, 6, 7]
    assert trace.taken[second].tolist() == [3, 4, 7, 8]
    assert trace.cycles == 9


def step_by_step(actors, edges, frames, cycles):
    """The module's rules, carried out naively: every actor in every cycle, consumers first.

    Actors stand in topological order and all take from one port. Returns the cycles of beats taken,
    by edge.
    """
    waiting = {edge: [] for edge in edges}
    room = {edge: [0] * (edge.capacity or 10**6) for edge in edges}
    taken = {edge: [] for edge in edges}
    state = {a.name: {"frame": 0, "action": 0, "since": None, "tail": len(a.tail)} for a in actors}
    for t in range(cycles):
        for a in reversed(actors):
            own = state[a.name]
            source = next(edge for edge in edges if edge.consumer == a.name)
            outputs = [edge for edge in edges if edge.producer == a.name]
            k = own["action"]
            if source.producer is None:
                arrived = own["frame"] < frames
            else:
                arrived = bool(waiting[source]) and waiting[source][0] <= t
            needs = a.reads.get("i", a.takes["i"])[k]
            if own["since"] is None and own["frame"] < frames and (arrived or not needs):
                own["since"] = t
            trailing = own["tail"] < len(a.tail)
            alone = own["since"] is None and trailing and k == 0
            if not alone and (own["since"] is None or t < own["since"] + a.duration[k] - 1):
                continue
            put = (trailing and a.tail[own["tail"]]) or (not alone and a.puts[k])
            if put and any(not room[edge] or room[edge][0] > t for edge in outputs):
                if a.duration[k] == 1:
                    own["since"] = None
                continue
            for edge in outputs if put else ():
                room[edge].pop(0)
                if edge.consumer is None:
                    taken[edge].append(t + edge.forward)
                    room[edge].append(t + edge.forward + edge.backward)
                else:
                    waiting[edge].append(t + edge.forward)
            own["tail"] = min(own["tail"] + 1, len(a.tail))
            if alone:
                continue
            if a.takes["i"][k]:
                taken[source].append(t)
                if source.producer is not None:
                    waiting[source].pop(0)
                    room[source].append(t + source.backward)
            own["since"] = None
            own["action"] = (k + 1) % len(a.puts)
            if own["action"] == 0:
                own["frame"] += 1
                own["tail"] = 0
    return taken


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("seed", range(60))
def test_random_chain(seed, frames):
    """A chain of up to four actors of random patterns, with registers, FIFOs and tails."""
    rng = np.random.default_rng(seed)
    actors, edges = [], [Edge(None, "a0")]
    beats = int(rng.integers(1, 6))  # that pass between two actors in a frame
    for k in range(int(rng.integers(1, 5))):
        puts_total = int(rng.integers(1, 6))
        length = max(beats, puts_total) + int(rng.integers(0, 4))
        takes, puts = np.zeros(length, bool), np.zeros(length, bool)
        takes[rng.choice(length, beats, replace=False)] = True
        puts[rng.choice(length, puts_total, replace=False)] = True
        reads = takes | (rng.random(length) < 0.2)
        # An action that reads and does not take needs a beat that is taken later in the frame.
        reads[np.flatnonzero(takes)[-1] + 1 :] = False
        reads[0] = takes[: np.flatnonzero(takes)[0] + 1].any()
        tail = np.zeros(0, bool)
        duration = rng.integers(1, 4, length)
        if rng.random() < 0.5:
            tail = rng.random(int(rng.integers(1, length + 1))) < 0.5
            duration[:] = 1
            puts[: len(tail)] = False
        beats = int(puts.sum() + tail.sum())
        if beats == 0:
            puts[-1], beats = True, 1
        actors.append(Actor(f"a{k}", duration, {"i": takes}, puts, {"i": reads}, tail))
        consumer = f"a{k + 1}"
        if rng.random() < 0.5:
            edges.append(Edge(f"a{k}", consumer, capacity=1, forward=1, backward=0))
        else:
            # Deep enough in half of the cases that nobody waits for room.
            depth = int(rng.integers(1, 4)) if seed % 2 else 40
            edges.append(queue(f"a{k}", consumer, depth, int(rng.integers(0, 4))))
    edges[-1] = Edge(f"a{k}", None, "i", edges[-1].capacity, edges[-1].forward, edges[-1].backward)
    trace = evaluate(actors, edges, frames)
    expected = step_by_step(actors, edges, frames, trace.cycles + trace.source[0] + 50)
    for edge in edges:
        assert trace.taken[edge].tolist() == expected[edge], f"seed {seed}, {edge}"


def test_one_frame_at_once_and_action_by_action():
    """A single frame through a chain in which nobody waits for room has a short cut."""
    first = actor("first", [1, 2, 1, 1], puts=[0, 1, 1, 0], tail=np.array([True, False, True]))
    second = actor("second", [1, 3, 1, 1])
    edges = (Edge(None, "first"), queue("first", "second", 4, 2), queue("second", None, 4, 1))
    trace = evaluate((second, first), edges)
    one_by_one = evaluate((second, first), edges, 1, interval=1, lead=1)
    slow = evaluate((second, first), edges, 2, interval=1000)
    for edge in edges:
        count = len(trace.taken[edge])
        assert trace.taken[edge].tolist() == slow.taken[edge][:count].tolist()
        assert trace.occupancy[edge] == one_by_one.occupancy[edge]
    assert trace.issue["first"].tolist() == slow.issue["first"][:4].tolist()
