"""A DRAM with pages and bursts, and what it costs programs that share a memory."""

import random
from dataclasses import replace

import pytest

from hwsim.models.dataflow import tiles
from hwsim.models.dataflow.memory import DDR4_2400, Dram, Stream, run_dram
from hwsim.models.dataflow.tiles import Job, Pages, Program


def draw(seed):
    rng = random.Random(seed)
    return Dram(
        burst_bytes=64,
        burst_time=rng.randint(1, 20),
        page_bytes=64 * rng.randint(1, 40),
        banks=rng.randint(2, 8),
        activate=rng.randint(0, 50),
        precharge=rng.randint(0, 50),
        cas=rng.randint(0, 50),
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_sequential_reader_that_waits_for_each_burst(seed):
    dram = draw(seed)
    bursts = random.Random(seed + 1000).randint(1, 400)
    found = run_dram(dram, [Stream.sequential(dram, bursts, outstanding=1)])
    assert found.ends == (dram.sequential_time(bursts, 1),)
    pages = -(-bursts // dram.bursts_per_page)
    assert (found.hits, found.misses) == ((bursts - pages,), (pages,))
    assert found.efficiency == pytest.approx(bursts * dram.burst_time / found.ends[0], rel=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_a_sequential_reader_that_runs_ahead_sees_one_opening(seed):
    rng = random.Random(seed + 1000)
    dram = draw(seed)
    outstanding = max(2, 1 - -(dram.precharge + dram.activate + dram.cas) // dram.burst_time)
    outstanding += rng.randint(0, 5)
    size = 64 * (outstanding + rng.randint(0, 20))
    dram = replace(dram, banks=rng.randint(3, 8), page_bytes=size)
    bursts = rng.randint(1, 400)
    found = run_dram(dram, [Stream.sequential(dram, bursts, outstanding=outstanding)])
    wanted = dram.activate + dram.cas + bursts * dram.burst_time
    assert found.ends == (wanted,)
    assert dram.sequential_time(bursts, outstanding) == wanted


def test_a_stride_of_pages_loses_most_of_the_bandwidth():
    dram = DDR4_2400
    count = 512
    line = run_dram(dram, [Stream.sequential(dram, count)])
    other = run_dram(dram, [Stream.strided(dram, count, 256, useful_bytes=16)])
    bank = dram.page_bytes * dram.banks
    same = run_dram(dram, [Stream.strided(dram, count, bank)])
    spread = run_dram(dram, [Stream.scattered(dram, count, 2**30, seed=1)])
    assert line.efficiency > 0.97
    # A quarter of each burst is used, at nearly the speed of a sequential stream.
    assert other.efficiency == pytest.approx(line.efficiency / 4, rel=0.02)
    # Every burst closes a page and opens one, in the same bank: nothing overlaps.
    each = dram.precharge + dram.activate + dram.cas + dram.burst_time
    assert same.ends == (count * each - dram.precharge,)
    assert same.misses == (count,)
    assert same.efficiency < 0.08 < spread.efficiency < line.efficiency


def test_streams_share_the_bus_fairly():
    dram = DDR4_2400
    size = dram.page_bytes * dram.banks
    streams = [Stream.sequential(dram, 1024, start=start) for start in (0, 8 * size + 8192 * 4)]
    alone = run_dram(dram, streams[:1])
    both = run_dram(dram, streams)
    first, second = both.ends
    assert abs(first - second) < 0.02 * first
    assert 2 * alone.ends[0] * 0.98 < first < 2.2 * alone.ends[0]
    assert run_dram(dram, streams) == both


def test_reads_and_writes_turn_the_bus():
    dram = Dram(
        burst_bytes=64,
        burst_time=4,
        page_bytes=4096,
        banks=4,
        activate=10,
        precharge=10,
        cas=10,
        turnaround=6,
    )
    reads = Stream.sequential(dram, 50, outstanding=1)
    writes = Stream.sequential(dram, 50, start=4096, write=True, outstanding=1)
    found = run_dram(dram, [reads, writes])
    assert found.turnarounds == 99
    # Both wait for each other: the bus is taken by bursts and by its turns, one after the other.
    assert max(found.ends) == 10 + 10 + 100 * 4 + 99 * 6
    assert run_dram(dram, [reads]).turnarounds == 0


def test_refused():
    def message(call, *args, **kwargs):
        with pytest.raises(ValueError) as caught:
            call(*args, **kwargs)
        return str(caught.value)

    good = DDR4_2400.__dict__
    assert message(Dram, **{**good, "banks": 0}) == "banks must be a positive integer, not 0"
    assert message(Dram, **{**good, "page_bytes": 100}) == (
        "page_bytes must be a multiple of burst_bytes, not 100 of 64"
    )
    assert message(DDR4_2400.sequential_time, 10, 3) == (
        "there is a closed form for 1 outstanding request and, with three banks or more, "
        "for 14 to 128, not for 3 with 16 banks"
    )
    assert message(Stream, []) == "addresses must be one or more, and not negative"
    assert message(run_dram, DDR4_2400, []) == "streams must be one or more"
    assert message(Pages, page_time=0) == "page_time must be a positive integer, not 0"


# ------------------------------------------------------------------------ programs that share one


def test_pages_and_turns_of_a_program_alone():
    # A tile: load 100, compute 10, store 50; each waits for the one before.
    job = Job("a", tiles=1, inputs=100, compute=10, outputs=50)
    pages = Pages(page_time=40, page_miss=3, switch=7, turnaround=5)
    (found,) = tiles.run([Program((job,))], pages)
    # 100 are three pages, two beyond the first; 50 are two.
    assert found.ends == ((7 + 100 + 2 * 3) + 10 + (5 + 50 + 3),)


@pytest.mark.parametrize("seed", range(10))
def test_pages_that_cost_nothing_change_nothing(seed):
    rng = random.Random(seed)
    jobs = tuple(
        Job(f"j{k}", rng.randint(1, 5), 0, rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 9))
        for k in range(4)
    )
    programs = [Program(jobs), Program(jobs[::-1])]
    assert tiles.run(programs, Pages(page_time=3)) == tiles.run(programs)


def test_programs_that_take_turns_close_each_other_s_pages():
    job = Job("a", tiles=50, inputs=100)
    alone = Program((job,))
    pages = Pages(page_time=1000, switch=20)
    (one,) = tiles.run([alone], pages)
    assert one.ends == (50 * 100 + 20,)
    first, second = tiles.run([alone, alone], pages)
    assert max(first.ends[-1], second.ends[-1]) == 100 * (100 + 20)


def test_pages_of_a_dram():
    pages = DDR4_2400.pages()
    assert pages == Pages(page_time=128 * 3333, switch=3 * 14160, turnaround=7500)
