"""What the configurations of all streaming units share: their chain of actors, and cycle counts."""

from abc import ABC, abstractmethod
from itertools import pairwise

from .queue import QueueConfig
from .timing import Actor, Edge, evaluate

__all__ = ["UnitConfig"]


class UnitConfig(ABC):
    """Base of the configurations (frozen dataclasses) of streaming units.

    A unit is a chain of one or more actors (`hwsim.blocks.timing`). Neighbours in the chain are
    joined by a register that is reloaded in the cycle in which it is emptied. The last actor issues
    into a pipeline of ``latency`` stages that ends in the unit's output queue.

    Members
    -------
    inputs : mapping of port name to Frame
        What arrives at each input stream.
    output : Frame
        What leaves.
    latency : int
        Cycles from the one in which an output beat is issued to the one in which it enters the
        output queue.
    interval : int
        Cycles per frame in the steady state when neither side limits.
    macs : int
        Useful multiply-accumulates per frame.
    multipliers : int
        Multiply-accumulates that the hardware can do in a cycle.
    put_interval : int
        Fewest cycles between two output beats.
    """

    @property
    @abstractmethod
    def inputs(self):
        """Frames by input port."""

    @property
    @abstractmethod
    def output(self):
        """The output frame."""

    @property
    @abstractmethod
    def interval(self):
        """Cycles per frame in the steady state when neither side limits."""

    @property
    def latency(self):
        """Cycles from the issue of an output beat to its entry into the output queue."""
        return 0

    @property
    def macs(self):
        """Useful multiply-accumulates per frame."""
        return 0

    @property
    def multipliers(self):
        """Multiply-accumulates that the hardware can do in a cycle."""
        return 0

    @property
    def put_interval(self):
        """Fewest cycles between two output beats."""
        return 1

    @abstractmethod
    def actors(self, name) -> tuple[Actor, ...]:
        """The unit's chain of actors, whose names start with ``name``.

        An input port belongs to the first that takes from a port of its name.
        """

    @property
    def queue(self):
        """The smallest output queue (`QueueConfig`) with which output beats come at full rate."""
        depth = 1
        while depth * self.put_interval < self.latency + QueueConfig(depth).latency + 1:
            depth += 1
        return QueueConfig(depth)

    def chain(self, name):
        """(actors, edges between them) of the unit."""
        actors = self.actors(name)
        edges = tuple(
            Edge(first.name, second.name, capacity=1, forward=1, backward=0)
            for first, second in pairwise(actors)
        )
        return actors, edges

    def output_edge(self, producer, consumer, port="i", queue=None):
        """The edge through the output queue from the last actor to a ``consumer`` (None: sink)."""
        queue = queue or self.queue
        return Edge(
            producer,
            consumer,
            port,
            capacity=queue.depth,
            forward=self.latency + queue.latency,
            backward=1,
        )

    def trace(self, frames=1, queue=None):
        """`Trace` of ``frames`` frames back to back, source and sink always ready."""
        actors, edges = self.chain("unit")
        sources = tuple(
            Edge(None, next(actor.name for actor in actors if port in actor.takes), port)
            for port in self.inputs
        )
        sink = self.output_edge(actors[-1].name, None, queue=queue)
        return evaluate(actors, (*sources, *edges, sink), frames)

    def cycles(self, frames=1, queue=None):
        """Cycles from first input to last output transfer, source and sink always ready.

        Parameters
        ----------
        frames : int
            Frames back to back.
        queue : QueueConfig, optional
            The output queue; `queue` unless given.
        """
        return self.trace(frames, queue).cycles
