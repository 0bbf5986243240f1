"""`train`: a network learns on simulated hardware, beside the integer reference and float."""

import hashlib
import io
import json
import math
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.blocks.checks import check_positive
from hwsim.blocks.training import BITS, TrainingConfig
from hwsim.cache import digest
from hwsim.compiler.training import TrainingPlan, sized
from hwsim.files import write_file
from hwsim.models.reference.training import Reference
from hwsim.models.training import INPUT_POINT, FloatTraining, IntegerTraining, TrainingSettings
from hwsim.network.network import NetworkError
from hwsim.network.training import final_softmax, folded, initial_weights, stages

from .training import Simulated

__all__ = ["ENGINES", "TrainingResult", "train"]

ENGINES = ("rtl", "reference")
# Images that are classified at once.
BATCH = 100
# What a checkpoint knows by its digest.
_DIGESTS = ("layers", "values of images", "labels")


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What training gave.

    Members
    -------
    network : Network
        With the trained weights, `hwsim.network.training.folded`, and its Softmax, if there is one.
    config : TrainingConfig
        The hardware.
    steps, images : int
        Steps done, those before a resume included, and the images that they took.
    losses, float_losses : list of float
        Before each step, of its batch.
    loss : float
        Mean over the last steps, an epoch at most.
    accuracy, float_accuracy : float
        Share of the test images that are classified rightly: in integers, and by the same
        training in float.
    test_images : int
    mismatches : int
        Weights and velocities that differed from the reference's after a step, summed over the
        steps; 0 with the engine "reference", which has nothing to compare.
    cycles, planned_cycles : int
        Of all steps: of the hardware, as simulated, and by the closed form; with the engine
        "reference" the closed form for both.
    cycles_by_work : dict of str to int
        The same by stage and kind of work.
    seconds : float
        Of this run.
    """

    network: Any
    config: TrainingConfig
    steps: int
    images: int
    losses: list
    float_losses: list
    loss: float
    accuracy: float
    float_accuracy: float
    test_images: int
    mismatches: int
    cycles: int
    planned_cycles: int
    cycles_by_work: dict
    seconds: float

    @property
    def cycles_per_image(self):
        """Cycles of a step, divided by its images."""
        return self.cycles / self.images


def train(
    network,
    images,
    labels,
    *,
    steps=100,
    batch=16,
    settings=None,
    lanes=16,
    engine="rtl",
    test_share=0.2,
    checkpoint=None,
    checkpoint_steps=10,
    progress: Callable[[int, float], None] | None = None,
):
    """Train a network from random weights.

    The last images are for the test; those before them are shuffled once per epoch.

    Parameters
    ----------
    network : Network
        Which `hwsim.network.training.stages` takes once it is `hwsim.network.training.folded`.
    images : ndarray of float32, (N, C, H, W) or (N, features)
        In [-2, 2), which their codes hold; usually in [0, 1].
    labels : ndarray of int, (N,)
    steps, batch : int
        Steps in all, and images in each: no more than the lanes, or a multiple of them.
    settings : TrainingSettings, optional
    lanes : int
        Of the hardware, a `TrainingConfig` with memories as large as need be.
    engine : str
        ``"rtl"`` or ``"reference"``.
    test_share : float
        Share of the images that is for the test.
    checkpoint : path, optional
        A file that holds the state; if it is there, training goes on from it.
    checkpoint_steps : int
        Steps between two checkpoints.
    progress : callable, optional
        Called with the steps done and the last loss.

    Returns
    -------
    TrainingResult

    Raises
    ------
    NetworkError, ValueError
        A network that cannot be trained so; images of another shape or range; a checkpoint of
        another training, or of more steps.
    """
    begin = time.perf_counter()
    settings = settings or TrainingSettings()
    check_positive("steps", steps)
    check_positive("batch", batch)
    check_positive("checkpoint_steps", checkpoint_steps)
    if engine not in ENGINES:
        raise ValueError(f"engine must be {' or '.join(ENGINES)}, not {engine!r}")
    if not 0 < test_share < 1:
        raise ValueError(f"test_share must lie between 0 and 1, not {test_share}")
    if labels is None or len(labels) != len(images):
        raise ValueError("training needs a label for each image")
    count = len(images) - round(test_share * len(images))
    if not batch <= count < len(images):
        raise ValueError(
            f"batch must be at most {count}, the images to learn from, not {batch}"
            if batch > count
            else f"{len(images)} images are too few to set some aside for the test"
        )
    labels = np.asarray(labels, np.int64)
    classes = math.prod(network.outputs[0].shape[1:])
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must lie in 0 to {classes - 1}, the network's outputs")
    softmax = final_softmax(network)
    if settings.loss == "rmse" and softmax:
        raise NetworkError(
            f"{network.name} ends with a Softmax, which is a part of the cross-entropy; the loss "
            "rmse takes networks without"
        )
    probabilities = network.outputs[0]
    network = folded(network)
    parts, momentum = stages(network), settings.momentum > 0
    shape = network.inputs[0].shape[1:]
    if images.shape[1:] != shape:
        wanted = ", ".join(["N", *map(str, shape)])
        raise ValueError(f"images must have the shape ({wanted}), not {images.shape}")
    # What 16 bits hold with the point of images; false for what is no number, too.
    reach = 1 << (BITS - 1 - INPUT_POINT)
    if not -reach <= images.min() <= images.max() < reach:
        given = f"[{images.min()!s}, {images.max()!s}]"
        raise ValueError(f"images must lie in [-{reach}, {reach}), not in {given}")
    chosen = TrainingConfig(lanes=lanes, loss=settings.loss)
    config = sized(parts, batch, chosen, momentum=momentum)
    plan = TrainingPlan(parts, config, momentum=momentum)
    weights = initial_weights(network, settings.seed)

    def in_integers(machine):
        return IntegerTraining(network, weights, settings, machine)

    reference = in_integers(Reference(parts, lanes, settings.loss))
    simulated = in_integers(Simulated(plan)) if engine == "rtl" else None
    state = _State(
        reference, simulated, FloatTraining(network, weights, settings), _facts(locals(), count)
    )
    if checkpoint is not None and Path(checkpoint).exists():
        state.load(Path(checkpoint))
        if reference.steps > steps:
            raise ValueError(
                f"steps must be at least {reference.steps}, which {checkpoint} holds, not {steps}"
            )
    while reference.steps < steps:
        chosen = _batch(settings.seed, reference.steps, batch, count)
        state.step(images[chosen], labels[chosen])
        if progress is not None:
            progress(reference.steps, state.losses[-1])
        due = reference.steps % checkpoint_steps == 0 or reference.steps >= steps
        if checkpoint is not None and due:
            state.save(Path(checkpoint))
    test, answers = images[count:], labels[count:]

    def accuracy(logits):
        parts = [
            logits(test[k : k + BATCH]).argmax(axis=1) == answers[k : k + BATCH]
            for k in range(0, len(test), BATCH)
        ]
        return float(np.concatenate(parts).mean())

    done = reference.steps
    epoch = max(count // batch, 1)
    best = simulated or reference
    trained = replace(network, constants={**network.constants, **best.weights()})
    if softmax:
        trained = replace(
            trained,
            layers=(*trained.layers, replace(softmax, inputs=(network.outputs[0].name,))),
            outputs=(probabilities,),
            tensors={**trained.tensors, probabilities.name: probabilities},
        )
    planned = {k: n * done for k, n in plan.cycles(stochastic=settings.stochastic).items()}
    cycles = simulated.machine.cycles if simulated else planned
    return TrainingResult(
        network=trained,
        config=config,
        steps=done,
        images=done * batch,
        losses=state.losses,
        float_losses=state.float_losses,
        loss=float(np.mean(state.losses[-epoch:])),
        accuracy=accuracy(best.logits),
        float_accuracy=accuracy(state.float.logits),
        test_images=len(test),
        mismatches=state.mismatches,
        cycles=sum(cycles.values()),
        planned_cycles=sum(planned.values()),
        cycles_by_work=dict(cycles),
        seconds=time.perf_counter() - begin,
    )


def _batch(seed, step, batch, count):
    """Which images a step takes: whole batches of an order that is new in each epoch."""
    epoch, place = divmod(step, count // batch)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[place * batch : (place + 1) * batch]


def _facts(given, count):
    """What has to be equal for training to go on from a checkpoint."""
    return {
        "network": given["network"].name,
        "layers": digest(repr(given["parts"])),
        "batch": given["batch"],
        "engine": given["engine"],
        "images": count,
        "values of images": _array_digest(given["images"][:count]),
        "labels": _array_digest(given["labels"][:count]),
        "lanes": given["lanes"],
        **asdict(given["settings"]),
    }


def _array_digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


class _State:
    """Everything that goes on from step to step."""

    def __init__(self, reference, simulated, in_float, facts):
        self.reference = reference
        self.simulated = simulated
        self.float = in_float
        self.losses: list[float] = []
        self.float_losses: list[float] = []
        self.mismatches = 0
        self._facts = facts

    def step(self, images, labels):
        """One step of all of them, compared."""
        loss = self.reference.step(images, labels)
        if self.simulated is not None:
            loss = self.simulated.step(images, labels)
            self.mismatches += sum(
                int((getattr(self.simulated.machine, kind)[name] != expected).sum())
                for kind in ("codes", "velocities")
                for name, expected in getattr(self.reference.machine, kind).items()
            )
        self.losses.append(loss)
        self.float_losses.append(self.float.step(images, labels))

    @property
    def _parts(self):
        parts = {"reference": self.reference, "float": self.float}
        return parts | ({"simulated": self.simulated} if self.simulated else {})

    def save(self, path):
        """Write the state: the file is whole, or what it was."""
        arrays = {
            f"{part}/{name}": array
            for part, training in self._parts.items()
            for name, array in training.state().items()
        }
        facts = {
            "facts": self._facts,
            "losses": self.losses,
            "float_losses": self.float_losses,
            "mismatches": self.mismatches,
            "cycles": self.simulated.machine.cycles if self.simulated else {},
        }
        file = io.BytesIO()
        np.savez(file, state=np.array(json.dumps(facts)), **arrays)
        write_file(path, file.getvalue())

    def load(self, path):
        """Go on from a file."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            facts = json.loads(str(arrays.pop("state")))
            found = facts["facts"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a checkpoint that can be read") from error
        for name, wanted in self._facts.items():
            if found.get(name) != wanted:
                given = f"{name} = {found.get(name)}, not {wanted}"
                if name in _DIGESTS:
                    given = f"other {name}"
                raise ValueError(f"{path} is a checkpoint of training with {given}")
        for part, training in self._parts.items():
            prefix = f"{part}/"
            training.restore(
                {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            )
        if self.simulated:
            self.simulated.machine.cycles.update(facts["cycles"])
        self.losses, self.float_losses = facts["losses"], facts["float_losses"]
        self.mismatches = facts["mismatches"]
