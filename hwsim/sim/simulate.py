"""`simulate`: images in, outputs and cycles out, everything checked against the reference."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hwsim.blocks.checks import check_positive
from hwsim.blocks.systolic.timing import LATENCY
from hwsim.models.reference import integer as reference
from hwsim.rtl.streaming import Design
from hwsim.rtl.systolic.design import SystolicDesign

from . import amaranth_engine, compiled_engine, systolic, verilator_engine
from .engine import Recording, Stimulus, Wave, whole_vcd
from .waves import check_suffix

__all__ = ["ENGINES", "Result", "simulate"]

ENGINES = {
    "compiled": compiled_engine.run,
    "amaranth": amaranth_engine.run,
    "verilator": verilator_engine.run,
}
# Lanes of a thread, when nothing is said: more make the state larger than the caches.
LANES_PER_THREAD = 64
# Images that a lane should have at least, so that most of its cycles are in the steady state.
IMAGES_PER_LANE = 8
# Images that the reference takes at once.
BATCH = 250


@dataclass(frozen=True, eq=False)
class Result:
    """What a simulation gave.

    Members
    -------
    images : int
    lanes : int
        Among which the images were divided. Each lane has as many, images in a row to each; the
        last image is repeated to fill the last lane.
    inputs : ndarray of int, (N, C, H, W)
        Codes of the images.
    outputs : ndarray of int, (N, C, H, W)
        Codes of the network's output.
    feature_maps : dict of tensor name to ndarray of int, (N, C, H, W)
        Codes of each layer's output, as seen on the stream that carries it, or as written to the
        buffer.
    layers : pandas.DataFrame
        For each layer: name, values compared, values that differ from the reference.
    activity : pandas.DataFrame
        For each layer's output stream, of the first lane: name, beats, cycles in which a beat was
        held back by who takes it, and cycles in which whoever takes them waited for a beat. On a
        systolic accelerator: name, first and last cycle in which results were written, writes.
    cycles : int
        From the first beat in to the last beat out, of each lane; on a systolic accelerator, from
        start to end of the program, summed over the images of a lane.
    interval_cycles : int or None
        Between the last beats of two images, late in the run; None for one image.
    seconds : float
        Wall time of the simulation, preparation included.
    recording : Recording
        Every transfer.
    counters : dict of str to int
        Performance counters of a systolic accelerator.
    """

    images: int
    lanes: int
    inputs: np.ndarray
    outputs: np.ndarray
    feature_maps: dict[str, np.ndarray]
    layers: pd.DataFrame
    activity: pd.DataFrame
    cycles: int
    interval_cycles: int | None
    seconds: float
    recording: Recording
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def cycles_per_image(self):
        """Cycles per image in the steady state; of a single image, all its cycles."""
        return self.cycles if self.interval_cycles is None else self.interval_cycles

    @property
    def mismatches(self):
        """Values, of all layers, that differ from the reference."""
        return int(self.layers["mismatches"].sum())

    @property
    def images_per_lane(self):
        """Images that one lane worked on."""
        return -(-self.images // self.lanes)

    @property
    def lane_cycles_per_second(self):
        """Speed of the simulator: cycles of all lanes together."""
        return self.lanes * self.cycles / self.seconds


def simulate(
    design,
    images,
    *,
    engine="compiled",
    lanes=None,
    threads=None,
    stalls=0.0,
    seed=0,
    memory_latency=None,
    wave=None,
    progress=None,
):
    """Run images through a design by the clock, and compare each feature map with the reference.

    Parameters
    ----------
    design : hwsim.rtl.streaming.Design or hwsim.rtl.systolic.design.SystolicDesign
    images : ndarray, (N, C, H, W)
        Real values (floating point), quantized by the network's input scale; or codes (integers).
    engine : str
        A name in `ENGINES`.
    lanes : int, optional
        Among how many copies of the design, simulated side by side, the images are divided; 1 to
        1024. When nothing is said, one for few images, one for the engines that gain nothing by
        more, and one for waveforms.
    threads : int, optional
        Among which the compiled engine divides the lanes; at most as many as there are processors,
        when nothing is said.
    stalls : float
        Probability, per cycle, that the source pauses and that the sink is not ready, or that a
        channel of the memory pauses; in [0, 1).
    seed : int
        Of the stalls.
    memory_latency : int, optional
        Of a systolic accelerator: cycles from a request to memory to the first beat of its answer;
        20 unless given.
    wave : path or Wave, optional
        Waveforms to write, VCD or FST by the suffix.
    progress : callable, optional
        Called now and then with the number of images done.

    Returns
    -------
    Result
    """
    if not isinstance(design, Design | SystolicDesign):
        raise TypeError(
            f"design must be a Design, as hwsim.build gives, not {type(design).__name__}"
        )
    if memory_latency is not None:
        if not isinstance(design, SystolicDesign):
            raise ValueError("memory_latency is for systolic accelerators")
        check_positive("memory_latency", memory_latency)
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(sorted(ENGINES))}, not {engine!r}")
    if not 0 <= stalls < 1:
        raise ValueError(f"stalls must lie in [0, 1), not {stalls}")
    network = design.network
    codes = input_codes(network, images)
    count = len(codes)
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads must be an integer of at least 1, not {threads!r}")
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if engine == "compiled" else 1
    if lanes is None:
        lanes = 1
        if engine == "compiled" and wave is None:
            if isinstance(design, SystolicDesign):
                lanes = systolic.lanes_for(design.program, count)
            else:
                lanes = _lanes(count, threads)
    elif not isinstance(lanes, int) or not 1 <= lanes <= 1024:
        raise ValueError(f"lanes must be an integer from 1 to 1024, not {lanes!r}")
    elif lanes > count:
        raise ValueError(f"lanes must be at most the number of images, {count}, not {lanes}")
    if wave is not None:
        _check_wave(wave, engine, lanes)
    options = {"stalls": stalls, "seed": seed, "threads": threads, "wave": wave}
    if isinstance(design, SystolicDesign):
        options["latency"] = LATENCY if memory_latency is None else memory_latency
        return _on_array(design, codes, lanes, ENGINES[engine], options, progress)
    return _through_pipeline(design, codes, lanes, ENGINES[engine], options, progress)


def _on_array(design, codes, lanes, run, options, progress):
    start = time.perf_counter()
    maps, outputs, cycles, recording, counters = systolic.rounds(
        design.program, codes, lanes, run, options, progress
    )
    seconds = time.perf_counter() - start
    # Outputs are compared as memory has them at the end.
    maps |= outputs
    produced = [layer for layer in design.network.layers if layer.output in maps]
    return Result(
        images=len(codes),
        lanes=lanes,
        inputs=codes,
        outputs=outputs[design.network.outputs[0].name],
        feature_maps=maps,
        layers=_compare(design.network, codes, produced, maps),
        activity=systolic.activity(design.program, recording),
        cycles=sum(cycles),
        interval_cycles=cycles[-1] if len(cycles) > 1 else None,
        seconds=seconds,
        recording=recording,
        counters=counters,
    )


def _through_pipeline(design, codes, lanes, run, options, progress):
    network, plan = design.network, design.plan
    count = len(codes)
    each = -(-count // lanes)
    spread = np.concatenate([codes, np.repeat(codes[-1:], each * lanes - count, axis=0)])
    beats = plan.input.to_beats(spread)
    component = design.component()
    stages: list[Any] = [stage for stage in plan.stages if stage.layer is not None]
    stimulus = Stimulus(
        {"i": beats.reshape(lanes, each * plan.input.beats, -1) if lanes > 1 else beats},
        {"o": each * plan.output.beats},
        probes={
            stage.layer.output: (
                component.maps[stage.layer.output],
                each * stage.config.output.beats,
            )
            for stage in stages
        },
        progress=None
        if progress is None
        else lambda done, cycles: progress(min(count, done // plan.output.beats * lanes)),
        **options,
    )
    start = time.perf_counter()
    recording = run(component, stimulus)
    seconds = time.perf_counter() - start
    maps = {}
    for stage in stages:
        frame = stage.config.output
        values = recording.probes[stage.layer.output].values
        values = values.reshape(-1, values.shape[-1])
        maps[stage.layer.output] = frame.from_beats(values)[:count]
    ends = recording.outputs["o"].cycles.reshape(lanes, each, -1)[0, :, -1]
    return Result(
        images=count,
        lanes=lanes,
        inputs=codes,
        outputs=maps[network.outputs[0].name],
        feature_maps=maps,
        layers=_compare(network, codes, [stage.layer for stage in stages], maps),
        activity=_activity(stages, recording),
        cycles=recording.cycles,
        interval_cycles=_interval(ends),
        seconds=seconds,
        recording=recording,
    )


def _check_wave(wave, engine, lanes):
    """Before a component is made that nothing would use."""
    wave = wave if isinstance(wave, Wave) else Wave(Path(wave))
    if engine != "compiled":
        whole_vcd(wave, engine)
    check_suffix(wave.path)
    if not 0 <= wave.lane < lanes:
        raise ValueError(f"the lane of waveforms must lie in 0 to {lanes - 1}, not {wave.lane}")


def _lanes(images, threads):
    """Lanes for so many images: one while there are few."""
    return max(1, min(threads * LANES_PER_THREAD, images // IMAGES_PER_LANE))


def _activity(stages, recording):
    """How often each layer's output moved and stood; see `Result`."""
    rows = []
    for stage in stages:
        stream = recording.probes[stage.layer.output]
        rows.append(
            {
                "name": stage.layer.name,
                "beats": stream.cycles.shape[-1],
                "held_cycles": int(np.ravel(stream.held)[0]),
                "starved_cycles": int(np.ravel(stream.starved)[0]),
            }
        )
    return pd.DataFrame(rows)


def _compare(network, codes, layers, maps):
    """For each layer the number of values, and of those that the reference has otherwise."""
    wrong = dict.fromkeys(maps, 0)
    for start in range(0, len(codes), BATCH):
        batch = slice(start, start + BATCH)
        expected = reference.run(network, codes[batch])
        for name, found in maps.items():
            wrong[name] += int(np.count_nonzero(found[batch] != expected[name]))
    return pd.DataFrame(
        {
            "name": layer.name,
            "values": maps[layer.output].size,
            "mismatches": wrong[layer.output],
        }
        for layer in layers
    )


def _interval(ends):
    """Cycles between two images that another one follows, if there are as many.

    The last image's last windows need not wait for the next one's beats, and may leave earlier.
    """
    if len(ends) == 1:
        return None
    followed = ends[:-1] if len(ends) > 2 else ends
    return int(followed[-1] - followed[-2])


def input_codes(network, images):
    """Codes of images that are given as real values (floating point) or as codes.

    Shape and range are checked.
    """
    images = np.asarray(images)
    if images.ndim == 2 and network.input.shape[1:] == (1, 1):
        images = images[:, :, np.newaxis, np.newaxis]
    if images.ndim != 4 or images.shape[1:] != network.input.shape or not len(images):
        wanted = ", ".join(map(str, network.input.shape))
        raise ValueError(
            f"images must have the shape (N, {wanted}) with N at least 1, not {images.shape}"
        )
    if np.issubdtype(images.dtype, np.floating):
        if not np.isfinite(images).all():
            raise ValueError("images must be finite, and some values are not")
        return network.input.quantize(images)
    if not np.issubdtype(images.dtype, np.integer):
        raise TypeError(
            f"images must be floating-point values or integer codes, not {images.dtype}"
        )
    if images.min() < network.input.minimum or images.max() > network.input.maximum:
        raise ValueError(
            f"codes of images must lie in [{network.input.minimum}, {network.input.maximum}], "
            f"not [{images.min()}, {images.max()}]"
        )
    return images
