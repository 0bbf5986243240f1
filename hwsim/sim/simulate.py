"""`simulate`: images in, outputs and cycles out, everything checked against the reference."""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hwsim.models.reference import integer as reference
from hwsim.rtl.streaming import Design
from hwsim.sim import amaranth_engine

from .beats import pack, unpack
from .engine import Recording, Stimulus

__all__ = ["ENGINES", "Result", "simulate"]

ENGINES = {"amaranth": amaranth_engine.run}


@dataclass(frozen=True, eq=False)
class Result:
    """What a simulation gave.

    Members
    -------
    images : int
    outputs : ndarray of int, (N, C, H, W)
        Codes of the network's output.
    feature_maps : dict of tensor name to ndarray of int, (N, C, H, W)
        Codes of each layer's output, as seen on the stream that carries it.
    layers : pandas.DataFrame
        For each layer: name, values compared, values that differ from the reference.
    cycles : int
        From the first beat in to the last beat out.
    interval_cycles : int or None
        Between the last beats of two images, late in the run; None for one image.
    seconds : float
        Wall time of the simulation.
    recording : Recording
        Every transfer.
    """

    images: int
    outputs: np.ndarray
    feature_maps: dict[str, np.ndarray]
    layers: pd.DataFrame
    cycles: int
    interval_cycles: int | None
    seconds: float
    recording: Recording

    @property
    def cycles_per_image(self):
        """Cycles per image in the steady state; of a single image, all its cycles."""
        return self.cycles if self.interval_cycles is None else self.interval_cycles

    @property
    def mismatches(self):
        """Values, of all layers, that differ from the reference."""
        return int(self.layers["mismatches"].sum())

    @property
    def cycles_per_second(self):
        """Speed of the simulator."""
        return self.cycles / self.seconds


def simulate(design, images, *, engine="amaranth", stalls=0.0, seed=0, wave=None, progress=None):
    """Run images through a design by the clock, and compare each feature map with the reference.

    Parameters
    ----------
    design : hwsim.rtl.Design
    images : ndarray, (N, C, H, W)
        Real values (floating point), quantized by the network's input scale; or codes (integers).
    engine : str
        A name in `ENGINES`.
    stalls : float
        Probability, per cycle, that the source pauses and that the sink is not ready; in [0, 1).
    seed : int
        Of the stalls.
    wave : path, optional
        VCD file to write.
    progress : callable, optional
        Called now and then with the number of output beats received and cycles simulated.

    Returns
    -------
    Result
    """
    if not isinstance(design, Design):
        raise TypeError(
            f"design must be a Design, as hwsim.build gives, not {type(design).__name__}"
        )
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(sorted(ENGINES))}, not {engine!r}")
    if not 0 <= stalls < 1:
        raise ValueError(f"stalls must lie in [0, 1), not {stalls}")
    network, plan = design.network, design.plan
    codes = input_codes(network, images)
    expected = reference.run(network, codes)
    component = design.component()
    stimulus = Stimulus(
        {"i": pack(plan.input.to_beats(codes), plan.input.bits)},
        {"o": len(codes) * plan.output.beats},
        probes={
            stage.layer.output: (
                component.maps[stage.layer.output],
                len(codes) * stage.config.output.beats,
            )
            for stage in plan.stages
            if stage.layer is not None
        },
        stalls=stalls,
        seed=seed,
        wave=wave,
        progress=progress,
    )
    start = time.perf_counter()
    recording = ENGINES[engine](component, stimulus)
    seconds = time.perf_counter() - start
    maps = {}
    rows = []
    for stage in plan.stages:
        if stage.layer is not None:
            name, frame = stage.layer.output, stage.config.output
            payloads = recording.probes[name].payloads
            maps[name] = frame.from_beats(unpack(payloads, frame.lanes, frame.bits, frame.signed))
            wrong = int(np.count_nonzero(maps[name] != expected[name]))
            rows.append({"name": stage.layer.name, "values": maps[name].size, "mismatches": wrong})
    ends = recording.outputs["o"].cycles.reshape(len(codes), -1)[:, -1]
    return Result(
        images=len(codes),
        outputs=maps[network.outputs[0].name],
        feature_maps=maps,
        layers=pd.DataFrame(rows),
        cycles=recording.cycles,
        interval_cycles=_interval(ends),
        seconds=seconds,
        recording=recording,
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
