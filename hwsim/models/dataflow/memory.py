"""A DRAM that several streams share: banks with open pages, bursts on one bus.

    streams -> window of outstanding requests -> a queue per bank -> data bus

A bank serves its requests in order. One to the open page (a row hit) is a column command; for
another page the bank waits until its data has left, closes the page (``precharge``), if one is
open, and opens the other (``activate``). Column commands of a bank follow one another at the pace
of bursts; data come ``cas`` after the command, when the bus is free, and the bus takes
``turnaround`` to change between reads and writes. Banks work at the same time. Requests that are
ready in the same picosecond take the bus in a fixed order, so that equal runs give equal results.
Refresh is left out.

One sequential reader of N bursts takes (`Dram.sequential_time`)

    N (cas + burst) + activate per page + precharge per page beyond the first of each bank

with one request outstanding, and, with so many that the next page is open in time,

    activate + cas + N burst

This is the bandwidth that a stream may have, and how much of it is lost; `Dram.pages` passes it to
`hwsim.models.dataflow.tiles.run`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy

from hwsim.blocks.checks import check_integer, check_positive

from .tiles import Pages

__all__ = ["DDR4_2400", "Dram", "DramRun", "Stream", "run_dram"]


@dataclass(frozen=True, kw_only=True)
class Dram:
    """A DRAM channel; times in integer picoseconds.

    Parameters
    ----------
    burst_bytes, burst_time : int
        What one request moves, and for how long that takes the bus.
    page_bytes : int
        Of a row; consecutive pages lie in consecutive banks.
    banks : int
    activate, precharge, cas : int
        To open a page, to close it, and from a command to its data.
    turnaround : int
        Of the bus, between a read and a write.
    """

    burst_bytes: int
    burst_time: int
    page_bytes: int
    banks: int
    activate: int
    precharge: int
    cas: int
    turnaround: int = 0

    def __post_init__(self):
        for name in ("burst_bytes", "burst_time", "page_bytes", "banks"):
            check_positive(name, getattr(self, name))
        for name in ("activate", "precharge", "cas", "turnaround"):
            check_integer(name, getattr(self, name), 0)
        if self.page_bytes % self.burst_bytes:
            raise ValueError(
                f"page_bytes must be a multiple of burst_bytes, not {self.page_bytes} of "
                f"{self.burst_bytes}"
            )

    @property
    def bandwidth_bytes_per_s(self):
        """Of the bus."""
        return self.burst_bytes / self.burst_time * 1e12

    @property
    def bursts_per_page(self):
        """Bursts of a page."""
        return self.page_bytes // self.burst_bytes

    def place(self, address):
        """(bank, row) of an address."""
        page = address // self.page_bytes
        return page % self.banks, page // self.banks

    def sequential_time(self, bursts, outstanding):
        """Picoseconds of one reader of ``bursts`` from the start of a page on, in closed form.

        Raises
        ------
        ValueError
            If ``outstanding`` is neither 1 nor so large that it hides the opening of pages, within
            a page.
        """
        check_positive("bursts", bursts)
        check_positive("outstanding", outstanding)
        if outstanding == 1:
            pages = -(-bursts // self.bursts_per_page)
            reopened = max(pages - self.banks, 0)
            opening = pages * self.activate + reopened * self.precharge
            return bursts * (self.cas + self.burst_time) + opening
        opening = self.precharge + self.activate + self.cas
        needed = 1 - -opening // self.burst_time
        most = self.bursts_per_page
        if not needed <= outstanding <= most or self.banks < 3:
            raise ValueError(
                "there is a closed form for 1 outstanding request and, with three banks or more, "
                f"for {needed} to {most}, not for {outstanding} with {self.banks} banks"
            )
        return self.activate + self.cas + bursts * self.burst_time

    def pages(self):
        """What `hwsim.models.dataflow.tiles.run` needs to know of it.

        Pages of one transfer open in time; where another program comes in between, or the
        direction changes, the first page's opening or the turnaround is seen.
        """
        return Pages(
            page_time=self.bursts_per_page * self.burst_time,
            switch=self.precharge + self.activate + self.cas,
            turnaround=self.turnaround,
        )


DDR4_2400 = Dram(
    burst_bytes=64,
    burst_time=3333,
    page_bytes=8192,
    banks=16,
    activate=14160,
    precharge=14160,
    cas=14160,
    turnaround=7500,
)
"""A 64-bit channel of DDR4-2400.

JEDEC JESD79-4: bursts of eight at 2400 MT/s; speed bin 17-17-17 at 0.833 ns; eight x8 devices of
1 KiB pages, 16 banks (bank groups are taken as equal); tWTR of 7.5 ns as the turnaround.
"""


@dataclass(frozen=True, eq=False)
class Stream:
    """Bursts that one reader or writer asks for, in order.

    Parameters
    ----------
    addresses : sequence of int
        Byte address of each burst.
    write : bool
    useful_bytes : int, optional
        Of each burst; all of it unless given.
    outstanding : int
        Requests on their way at the same time.
    """

    addresses: Sequence[int] = field(repr=False)
    write: bool = False
    useful_bytes: int | None = None
    outstanding: int = 16

    def __post_init__(self):
        check_positive("outstanding", self.outstanding)
        if not len(self.addresses) or min(self.addresses) < 0:
            raise ValueError("addresses must be one or more, and not negative")

    @classmethod
    def sequential(cls, dram, bursts, start=0, **options):
        """``bursts`` one behind the other."""
        return cls.strided(dram, bursts, dram.burst_bytes, start, **options)

    @classmethod
    def strided(cls, dram, bursts, stride_bytes, start=0, **options):
        """``bursts`` at a distance of ``stride_bytes``, each a burst of its own."""
        check_positive("bursts", bursts)
        check_positive("stride_bytes", stride_bytes)
        addresses = start + stride_bytes * np.arange(bursts)
        return cls((addresses // dram.burst_bytes * dram.burst_bytes).tolist(), **options)

    @classmethod
    def scattered(cls, dram, bursts, size_bytes, seed=0, **options):
        """``bursts`` anywhere in ``size_bytes``, the same for the same seed."""
        check_positive("bursts", bursts)
        check_integer("seed", seed, 0)
        places = np.random.default_rng(seed).integers(0, size_bytes // dram.burst_bytes, bursts)
        return cls((places * dram.burst_bytes).tolist(), **options)


@dataclass(frozen=True)
class DramRun:
    """Result of `run_dram`.

    Members
    -------
    ends : tuple of int
        Picosecond in which each stream has its last burst.
    hits, misses : tuple of int
        Of each stream: bursts from an open page, and those for which one was opened.
    turnarounds : int
    efficiency : float
        Useful bytes over those that the bus could have moved until the last end.
    """

    ends: tuple[int, ...]
    hits: tuple[int, ...]
    misses: tuple[int, ...]
    turnarounds: int
    efficiency: float


class _Channel:
    def __init__(self, env, dram, streams):
        self.env, self.dram, self.streams = env, dram, streams
        count = len(streams)
        self.ends, self.hits, self.misses = [0] * count, [0] * count, [0] * count
        self.turnarounds = 0
        self.writing: bool | None = None
        self.bus = simpy.Resource(env)
        self.queues = [simpy.Store(env) for _ in range(dram.banks)]
        self.room = [
            simpy.Container(env, capacity=stream.outstanding, init=stream.outstanding)
            for stream in streams
        ]
        for queue in self.queues:
            env.process(self._bank(queue))
        for number in range(count):
            env.process(self._ask(number))

    def _ask(self, number):
        for address in self.streams[number].addresses:
            yield self.room[number].get(1)
            bank, row = self.dram.place(address)
            yield self.queues[bank].put((number, row))

    def _bank(self, queue):
        dram = self.dram
        opened = moved = None
        while True:
            number, row = yield queue.get()
            if row == opened:
                self.hits[number] += 1
            else:
                self.misses[number] += 1
                if moved is not None:
                    yield moved
                time = dram.activate + (0 if opened is None else dram.precharge)
                if time:
                    yield self.env.timeout(time)
                opened = row
            moved = self.env.process(self._move(number))
            yield self.env.timeout(dram.burst_time)

    def _move(self, number):
        dram, write = self.dram, self.streams[number].write
        yield self.env.timeout(dram.cas)
        with self.bus.request() as turn:
            yield turn
            time = dram.burst_time
            if self.writing is not None and self.writing != write:
                self.turnarounds += 1
                time += dram.turnaround
            self.writing = write
            yield self.env.timeout(time)
        self.ends[number] = self.env.now
        yield self.room[number].put(1)


def run_dram(dram, streams):
    """Run streams side by side on one channel.

    Parameters
    ----------
    dram : Dram
    streams : sequence of Stream

    Returns
    -------
    DramRun
    """
    if not streams:
        raise ValueError("streams must be one or more")
    env = simpy.Environment()
    channel = _Channel(env, dram, streams)
    env.run()
    useful = sum(
        len(stream.addresses)
        * (dram.burst_bytes if stream.useful_bytes is None else stream.useful_bytes)
        for stream in streams
    )
    possible = max(channel.ends) / dram.burst_time * dram.burst_bytes
    return DramRun(
        tuple(channel.ends),
        tuple(channel.hits),
        tuple(channel.misses),
        channel.turnarounds,
        useful / possible,
    )
