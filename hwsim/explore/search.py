"""Which points are evaluated: all of them, or those that a sampler of Optuna asks for.

A sampler is asked for a whole batch and then told all of its results, in order, so that what it
does depends on the seed alone. A run that was interrupted asks the same questions again, and the
store has the answers.
"""

import hashlib
import warnings

import numpy as np

from hwsim.blocks.checks import check_integer, check_positive

from .cells import available, smallest_buffer
from .evaluate import FEASIBLE
from .space import OBJECTIVES

__all__ = ["EXHAUSTIVE_FOLDINGS", "EXHAUSTIVE_POINTS", "METHODS", "choose", "sample"]

METHODS = ("exhaustive", "nsga2", "tpe")
# Spaces up to here are evaluated completely unless something else is said.
EXHAUSTIVE_POINTS = 1 << 22
EXHAUSTIVE_FOLDINGS = 256
LARGEST_EXHAUSTIVE = 1 << 26
SAMPLES = 2048
# Points between two answers, whatever the number of workers; and in a chunk of these.
_BATCH = {"nsga2": 64, "tpe": 16}
_CHUNK = 8
# What a sampler is told of a point that has no value.
_WORST = 1e30


def choose(space, method, samples):
    """The method and the number of samples (None for all points).

    Raises
    ------
    ValueError
        For an unknown method, or one that does not suit the space.
    """
    if method is not None and method not in METHODS:
        raise ValueError(f"method must be {', '.join(METHODS)}, not {method!r}")
    if samples is not None:
        check_positive("samples", samples)
        if method == "exhaustive":
            raise ValueError(
                "samples go with the methods nsga2 and tpe; exhaustive takes all points"
            )
    if method is None:
        foldings = sum(
            len(block.axes[0].values) * len(block.axes[1].values)
            for block in space.blocks
            if block.architecture == "streaming"
        )
        small = len(space) <= (EXHAUSTIVE_POINTS if samples is None else samples)
        if small and (samples is not None or foldings <= EXHAUSTIVE_FOLDINGS):
            return "exhaustive", None
        method = "nsga2"
    if method == "exhaustive":
        if len(space) > LARGEST_EXHAUSTIVE:
            raise ValueError(
                f"exhaustive takes at most {LARGEST_EXHAUSTIVE:,} points, and the space has "
                f"{len(space):,}; use nsga2 or tpe"
            )
        return method, None
    return method, samples or SAMPLES


def signed_objectives(space, columns):
    """(points, objectives) array in which less is better."""
    values = [columns[OBJECTIVES[name]] for name in space.objectives]
    signs = [-1.0 if name == "throughput" else 1.0 for name in space.objectives]
    return np.stack([sign * value for sign, value in zip(signs, values, strict=True)], axis=-1)


def sample(space, method, samples, seed, gather):
    """Search by a sampler.

    Parameters
    ----------
    space : Space
    method : str
        "nsga2" or "tpe".
    samples : int
        Points to ask for; the same one may be asked for again.
    seed : int
    gather : callable
        Takes (name, numbers) pairs and a function to call with the numbers and columns of each
        when they are there.

    Returns
    -------
    numbers : array
        Of the points, ascending.
    columns : dict of str to array
    """
    try:
        import optuna
    except ImportError:
        raise ValueError(
            f"the method {method} needs the package optuna; "
            "install it with pip install hwsim[explore]"
        ) from None
    check_integer("seed", seed, 0)
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Constraints and constant liar count as experimental there.
            warnings.simplefilter("ignore")
            return _search(optuna, space, method, samples, seed, gather)
    finally:
        optuna.logging.set_verbosity(level)


def _search(optuna, space, method, samples, seed, gather):
    def violation(trial):
        return (trial.user_attrs["violation"],)

    if method == "nsga2":
        sampler = optuna.samplers.NSGAIISampler(
            population_size=_BATCH[method], seed=seed, constraints_func=violation
        )
    else:
        sampler = optuna.samplers.TPESampler(
            seed=seed, constraints_func=violation, constant_liar=True, multivariate=True
        )
    study = optuna.create_study(sampler=sampler, directions=["minimize"] * len(space.objectives))
    domain = _domain(optuna, space)
    known: dict[int, dict[str, float]] = {}
    for first in range(0, samples, _BATCH[method]):
        trials = [study.ask(domain) for _ in range(min(_BATCH[method], samples - first))]
        numbers = [_number(space, trial.params) for trial in trials]
        new = sorted(set(numbers) - known.keys())
        chunks = [
            (_name(part), np.array(part, np.int64))
            for part in (new[k : k + _CHUNK] for k in range(0, len(new), _CHUNK))
        ]

        def keep(chunk, columns):
            for k, number in enumerate(chunk.tolist()):
                known[number] = {name: column[k].item() for name, column in columns.items()}

        gather(chunks, keep)
        for trial, number in zip(trials, numbers, strict=True):
            point = known[number]
            feasible = point["reason"] == FEASIBLE
            trial.set_user_attr("violation", 0.0 if feasible else max(point["excess"], 1e-9))
            values = signed_objectives(space, {n: np.array([v]) for n, v in point.items()})[0]
            study.tell(trial, [v if np.isfinite(v) else _WORST for v in values.tolist()])
    found = sorted(known)
    columns = {
        name: np.array([known[number][name] for number in found]) for name in known[found[0]]
    }
    columns["reason"] = columns["reason"].astype(np.uint8)
    return np.array(found, np.int64), columns


def _name(numbers):
    text = ",".join(map(str, numbers))
    return "points " + hashlib.sha256(text.encode()).hexdigest()[:32]


def _domain(optuna, space):
    """What is asked for: a digit for each axis; every architecture has its own in every trial."""
    found = {}
    if len(space.blocks) > 1:
        names = [block.architecture for block in space.blocks]
        found["architecture"] = optuna.distributions.CategoricalDistribution(names)
    for block in space.blocks:
        for axis in block.axes:
            key, count = f"{block.architecture}.{axis.name}", len(axis.values)
            if count > 1 and axis.name in ("device", "dataflow", "operand_bits"):
                found[key] = optuna.distributions.CategoricalDistribution(list(range(count)))
            elif count > 1:
                found[key] = optuna.distributions.IntDistribution(0, count - 1)
    return found


def _number(space, params):
    name = params.get("architecture", space.blocks[0].architecture)
    block = next(block for block in space.blocks if block.architecture == name)
    digits = {axis.name: params.get(f"{name}.{axis.name}", 0) for axis in block.axes}
    return block.number(_repair(space, block, digits))


def _repair(space, block, digits):
    """Digits of a point that can be built, as near as may be, where it is known beforehand."""
    if block.architecture != "systolic" or not space.needs:
        return digits
    values = {axis.name: axis.values for axis in block.axes}
    rows, cols = (values[name][digits[name]] for name in ("rows", "cols"))
    device = values["device"][digits["device"]]
    dsps = available(device).get("dsp") if space.fits else None
    if dsps is not None and rows * cols > dsps:
        fitting = [k for k, value in enumerate(values["cols"]) if rows * value <= dsps]
        if fitting:
            digits["cols"] = max(fitting, key=lambda k: values["cols"][k])
            cols = values["cols"][digits["cols"]]
    least = float(smallest_buffer(np.array([rows]), np.array([cols]))[0])
    if values["buffer_bytes"][digits["buffer_bytes"]] < least:
        large = [k for k, value in enumerate(values["buffer_bytes"]) if value >= least]
        if large:
            digits["buffer_bytes"] = min(large, key=lambda k: values["buffer_bytes"][k])
    return digits
