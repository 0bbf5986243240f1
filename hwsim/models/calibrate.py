"""`calibrate_cpu`: this machine's processor as a device file, every number measured.

Clock, multipliers, cache levels and memory are measured with the loops of `hwsim.models.probes`;
what a framework adds, with ONNX Runtime. For peaks the fastest of many short runs counts, because
whatever else the machine does can only make a run slower; for what is usually reached of them, and
for what a framework adds, the median.
"""

import ctypes
import os
import platform
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from hwsim.files import write_files

from . import devices
from .devices import user_file
from .probes import CHAIN, UNROLLED, probes

__all__ = ["CPU_NAME", "calibrate_cpu"]

CPU_NAME = "this-machine"
KIB, MIB = 2**10, 2**20
SYSTEM = Path("/sys/devices/system/cpu")
# Sides of the matrix product, and layers of the chains that show what a framework adds.
GEMM_SIDE, LAYERS = 384, 48
# A run of a loop takes about this long: many fit between two interruptions.
RUN_S = 1e-3
LARGEST_BUFFER = 512 * MIB


def calibrate_cpu(path=None, *, seconds=20.0, buffer_bytes=None):
    """Measure this machine's processor, and write it as a device file.

    Parameters
    ----------
    path : path, optional
        File to write; where ``this-machine`` is looked for unless given.
    seconds : float
        Time to spend on all measurements together, about.
    buffer_bytes : int, optional
        Largest buffer that is read; four times the last-level cache unless given.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ValueError
        For a time or a buffer that is not positive.
    OSError
        The file cannot be written.
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, not {seconds}")
    if buffer_bytes is not None and buffer_bytes < MIB:
        raise ValueError(f"buffer_bytes must be at least {MIB:,}, not {buffer_bytes}")
    path = user_file(CPU_NAME) if path is None else Path(path)
    text = _text(_measure(seconds, buffer_bytes))
    devices.parse(str(path), text.encode())
    write_files(path.parent, {path.name: text})
    return path


def _measure(seconds, buffer_bytes):
    """Quantities by name: (value, unit, source)."""
    loops = probes()
    part = seconds / 14
    cores = _cores()
    count = len(cores)
    l1, l2, l3, where = _caches(part)
    chain_turns = 4000
    clock = chain_turns * CHAIN / _fastest(lambda: loops.chain(chain_turns, 12345), part)
    turns = int(RUN_S * clock * 2 / loops.accumulators)
    work = turns * loops.accumulators * loops.lanes
    one = work / _fastest(lambda: loops.multiply(turns, 1.0), part)
    per_cycle = max(1, round(one / clock / loops.lanes)) * loops.lanes
    found = {
        "cores": (count, "1", "measured: cores that the process may use, a thread on each"),
        "clock": (clock / 1e9, "GHz", "measured: dependent additions, a cycle each, on one core"),
    }
    if count > 1:
        # By the threads' own clocks, so that it does not matter what else runs.
        every = min(_parallel(count, lambda _: loops.multiply(turns, 1.0), part, own=True))
        whole = min(count * work / every / (count * per_cycle), clock)
        found["all_core_clock"] = (
            whole / 1e9,
            "GHz",
            f"measured: {count * work / every / 1e9:.4g} billion fused multiply-adds per second on"
            f" {count} cores together / {count * per_cycle} per cycle",
        )
    found["fp32_macs_per_cycle"] = (
        per_cycle,
        "MAC/cycle",
        f"measured: {one / clock:.4g} fused multiply-adds per cycle on one core, in whole vectors",
    )
    found["vector_lanes"] = (
        loops.lanes,
        "1",
        f"measured: {32 * loops.lanes}-bit registers, as the processor says, / 32 bits",
    )
    found["element_ops_per_cycle"] = (
        2 * loops.lanes,
        "op/cycle",
        "assumption: two vector ports, one operation each",
    )
    size = min(max(4 * l3, 64 * MIB), LARGEST_BUFFER) if buffer_bytes is None else buffer_bytes
    buffer = _Buffer(size)
    levels = {
        "l1": (l1 // 2, "half of the first cache"),
        "l2": (l2 // 2, "half of the second cache"),
        "l3": (min(l2 + (l3 - l2) // 4, 8 * l2), "a part of the last cache beyond the second"),
    }
    for level, (length, what) in levels.items():
        rate = buffer.read(min(length, size), part) / clock
        source = f"measured: {what} read again and again on one core"
        found[f"{level}_bytes_per_cycle"] = (rate, "B/cycle", source)
    for name, value in (("l1_size", l1), ("l2_size", l2), ("cache_size", l3)):
        found[name] = (value // KIB, "KiB", where)
    single = buffer.read(size, part)
    what = f"measured: {size // MIB:,} MiB read"
    found["core_memory_bandwidth"] = (single / 1e9, "GB/s", f"{what} on one core")
    every, usual = buffer.read_by(count, 2 * part)
    every = max(every, single)
    found["memory_bandwidth"] = (every / 1e9, "GB/s", f"{what} on {count} cores together")
    found["memory_efficiency"] = (
        min(usual / every, 1.0),
        "1",
        "measured: the median of these runs in parts of the fastest",
    )
    found |= _framework(count, clock, per_cycle, part)
    return found


def _framework(count, clock, per_cycle, part):
    """What ONNX Runtime reaches, and what it adds to each layer."""
    version = f"ONNX Runtime {onnxruntime.__version__}"
    side = GEMM_SIDE
    weights = numpy_helper.from_array(_numbers(side, side), "w")
    product = _runner([helper.make_node("MatMul", ["x", "w"], ["y"])], (side, side), [weights], 1)
    rate = side**3 / _usual(product, part)
    share = min(rate / (clock * per_cycle), 1.0)
    dispatch = _usual(_convolutions(16, 1, 1, 1), part) / LAYERS
    lrn = _runner([helper.make_node("LRN", ["x"], ["y"], size=5)], (1, 64, 32, 32), [], 1)
    power = _usual(lrn, part) / (64 * 32 * 32)
    found = {
        "compute_efficiency": (
            share,
            "1",
            f"measured: {rate / 1e9:.4g} billion multiply-adds per second, in the median, in a"
            f" product of matrices of {side} x {side} on one core, {version}",
        ),
        "dispatch_time": (dispatch * 1e6, "us", f"measured: a convolution of one pixel, {version}"),
        "power_cycles": (power * clock, "cycle", f"measured: LRN, per value, {version}"),
    }
    if count > 1:
        alone, together = (
            _usual(_convolutions(32, 3, 14, threads), part) / LAYERS for threads in (1, count)
        )
        sync = max(together - dispatch - (alone - dispatch) / count, 0)
        found["sync_time"] = (
            sync * 1e6,
            "us",
            f"measured: a small convolution on {count} cores beyond its share of one core's time,"
            f" {version}",
        )
    return found


def _text(found):
    lines = [
        "# Written by hwsim calibrate cpu.",
        f'name = "{CPU_NAME}"',
        'class = "cpu"',
        f'title = "{_processor_name()}"',
    ]
    for name, (value, unit, source) in found.items():
        number = value if isinstance(value, int) else float(f"{value:.4g}")
        lines.append(f'{name} = {{ value = {number}, unit = "{unit}", source = "{source}" }}')
    return "\n".join(lines) + "\n"


def _processor_name():
    """The processor's name as the system gives it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    name = next(names, platform.processor() or platform.machine() or "unknown")
    return "".join(letter for letter in name if letter.isprintable() and letter not in '"\\')


def _cores():
    """One hardware thread of each core that the process may use."""
    allowed = (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else range(os.cpu_count() or 1)
    )
    found: dict[object, int] = {}
    for thread in allowed:
        path = SYSTEM / f"cpu{thread}/topology/thread_siblings_list"
        found.setdefault(path.read_text() if path.exists() else thread, thread)
    return list(found.values())


def _caches(part):
    """(first, second, last-level cache in bytes, where the sizes come from)."""
    sizes: dict[int, dict[str, int]] = {}
    for core in _cores():
        for index in sorted((SYSTEM / f"cpu{core}/cache").glob("index*")):
            if (index / "type").read_text().strip() == "Instruction":
                continue
            level = int((index / "level").read_text())
            text = (index / "size").read_text().strip()
            unit = {"K": KIB, "M": MIB}.get(text[-1], 1)
            shared = (index / "shared_cpu_list").read_text()
            sizes.setdefault(level, {})[shared] = int(text.rstrip("KM")) * unit
    if {1, 2} <= sizes.keys():
        first, second = (min(sizes[level].values()) for level in (1, 2))
        last = sum(sizes[max(sizes)].values())
        return first, second, last, "derived: the size that the system reports"
    return (*_sweep(part), "measured: the size beyond which reads become slower")


def _sweep(part):
    """Sizes of three caches, found by reading ever larger buffers."""
    buffer = _Buffer(64 * MIB)
    lengths = [16 * KIB << step for step in range(13)]
    rates = [buffer.read(length, part / len(lengths)) for length in lengths]
    edges = [
        length
        for length, rate, following in zip(lengths, rates, rates[1:], strict=False)
        if following < 0.75 * rate
    ]
    # Where no edge is seen, the usual sizes.
    first = edges[0] if edges else 32 * KIB
    second = next((edge for edge in edges if edge > 2 * first), 8 * first)
    last = next((edge for edge in reversed(edges) if edge > 2 * second), 8 * second)
    return first, second, last


class _Buffer:
    """Memory that is there: written once, and aligned."""

    def __init__(self, size):
        self.size = size
        self._memory = np.ones(size + 4 * KIB, np.uint8)
        self._start = -(-self._memory.ctypes.data // (4 * KIB)) * 4 * KIB
        self._step = UNROLLED * probes().width

    def read(self, length, seconds):
        """Bytes per second in which one core reads the first ``length`` bytes again and again."""
        length = max(length // self._step, 1) * self._step
        turns = max(length, 2 * MIB) // self._step
        address = ctypes.c_void_p(self._start)
        time_s = _fastest(lambda: probes().read(address, length, turns), seconds)
        return turns * self._step / time_s

    def read_by(self, count, seconds):
        """Bytes per second in which cores read a part of the buffer each: most, and usually."""
        length = self.size // count // self._step * self._step
        turns = length // self._step
        runs = _parallel(
            count, lambda core: probes().read(self._start + core * length, length, turns), seconds
        )
        return count * length / min(runs), count * length / float(np.median(runs))


def _runs(function, seconds, spent=None):
    """Seconds of each run, of at least three; ``spent`` has its threads' own, if given."""
    function()
    runs: list[float] = []
    end = time.perf_counter() + seconds
    while len(runs) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        passed = time.perf_counter() - start
        runs.append(passed if spent is None else max(spent))
    return runs


def _fastest(function, seconds):
    return min(_runs(function, seconds))


def _usual(function, seconds):
    return float(np.median(_runs(function, seconds)))


def _parallel(count, function, seconds, own=False):
    """Seconds of each run of ``function(core)`` on ``count`` cores at the same time.

    With ``own``, the time that the slowest thread ran, without that in which it waited for a core.
    """
    spent = [0.0] * count
    start, done = threading.Barrier(count + 1), threading.Barrier(count + 1)
    going = True

    def work(core):
        while True:
            start.wait()
            if not going:
                return
            begin = time.thread_time()
            function(core)
            spent[core] = time.thread_time() - begin
            done.wait()

    threads = [threading.Thread(target=work, args=(core,)) for core in range(count)]
    for thread in threads:
        thread.start()

    def run():
        start.wait()
        done.wait()

    try:
        return _runs(run, seconds, spent if own else None)
    finally:
        going = False
        start.wait()
        for thread in threads:
            thread.join()


def _numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _convolutions(channels, kernel, size, threads):
    """A function that runs a chain of convolutions."""
    weights = _numbers(channels, channels, kernel, kernel) / (channels * kernel**2)
    names = ["x", *(f"t{n}" for n in range(1, LAYERS)), "y"]
    nodes = [
        helper.make_node("Conv", [source, "w"], [target], pads=[kernel // 2] * 4)
        for source, target in pairwise(names)
    ]
    shape = (1, channels, size, size)
    return _runner(nodes, shape, [numpy_helper.from_array(weights, "w")], threads)


def _runner(nodes, shape, constants, threads):
    """A function that runs a small network with ONNX Runtime."""
    graph = helper.make_graph(
        nodes,
        "calibrate",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": _numbers(*shape)}
    return lambda: session.run(None, feed)
