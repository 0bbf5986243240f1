"""What an exploration found: designs, front, knee, and why the rest was rejected."""

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hwsim.network.network import NetworkError

from . import refine as refinement
from .cells import CALIBRATED_SOURCE, RULE_SOURCE, available, family
from .evaluate import COLUMNS, CONFIGURATION, FEASIBLE, FOLDING, PROGRAM, RESOURCE, reasons
from .front import knee, pareto
from .search import signed_objectives
from .space import OBJECTIVES, RESOURCES
from .store import Store

__all__ = ["Study"]

_MEASURES = tuple(name for name in COLUMNS if name != "excess")
_PART = 1 << 14


class Study:
    """The designs of a space for a network. Make one with `hwsim.explore`.

    Members
    -------
    space : Space
    name : str
        Of the network.
    method : str
        "exhaustive", "nsga2" or "tpe".
    seed : int
    points : int
        Different points that have been evaluated.
    feasible : int
        Of these, those that keep to the constraints.
    evaluated, reused : int
        Points of this run, and those from the store.
    seconds : float
        That the run took.
    cpu_s : float
        Of processors in evaluating the points of this run.
    workers : int
    refined : dict of int to dict
        By point what other fidelities say, see `refine`.
    """

    def __init__(self, *, network, job, numbers, columns, store, **facts):
        self._network, self._job, self._store = network, job, store
        self._numbers, self._columns = numbers, columns
        self.space, self.name = job.space, job.name
        self.method: str = facts["method"]
        self.seed: int = facts["seed"]
        self.seconds: float = facts["seconds"]
        self.cpu_s: float = facts["cpu_s"]
        self.evaluated: int = facts["evaluated"]
        self.reused: int = facts["reused"]
        self.workers: int = facts["workers"]
        self.refined: dict[int, dict[str, Any]] = {}

    @property
    def points(self):
        """Different points that have been evaluated."""
        return len(self._columns["reason"])

    @property
    def feasible(self):
        """Points that keep to the constraints."""
        return int(np.count_nonzero(self._columns["reason"] == FEASIBLE))

    @property
    def points_per_second(self):
        """Points of this run in the time that it took; those of the store are not counted."""
        return self.evaluated / self.seconds

    @cached_property
    def rejected(self):
        """How many points were rejected for what reason, the most frequent first."""
        counts = np.bincount(self._columns["reason"])
        names = reasons(self.space)
        found = {names[k]: int(n) for k, n in enumerate(counts) if k != FEASIBLE and n}
        return dict(sorted(found.items(), key=lambda entry: -entry[1]))

    @cached_property
    def _front(self):
        """Places of the front, ascending, and the signed objectives there."""
        good = np.flatnonzero(self._columns["reason"] == FEASIBLE)
        values = signed_objectives(self.space, self._columns)
        # In parts first: what a part's own front has not, the whole one has not either.
        local = [
            part[pareto(values[part])]
            for part in (good[k : k + _PART] for k in range(0, len(good), _PART))
        ]
        places = np.concatenate(local) if local else good
        places = places[pareto(values[places])]
        return places, values[places]

    def frame(self, numbers=None):
        """Points as a DataFrame: parameters, what was found, and the reason if it was rejected.

        Parameters
        ----------
        numbers : sequence of int, optional
            Points by their numbers; all unless given.
        """
        return self._frame(slice(None) if numbers is None else self._places(numbers))

    def _places(self, numbers):
        numbers = np.asarray(numbers, np.int64).reshape(-1)
        if self._numbers is None:
            wrong = (numbers < 0) | (numbers >= self.points)
            places = numbers
        else:
            places = np.searchsorted(self._numbers, numbers)
            places = np.minimum(places, self.points - 1)
            wrong = self._numbers[places] != numbers
        if wrong.any():
            raise ValueError(f"point {numbers[wrong.argmax()]} has not been evaluated")
        return places

    def _frame(self, places):
        numbers = np.arange(self.points) if self._numbers is None else self._numbers
        numbers = numbers[places]
        parts = []
        for block in self.space.blocks:
            here = numbers[(numbers >= block.start) & (numbers < block.stop)]
            if len(here):
                part = pd.DataFrame(block.values(here), index=here)
                # What does not apply is left out.
                part = part[[n for n in part if len(part) and not part[n].isin(["", 0]).all()]]
                part.insert(0, "architecture", block.architecture)
                parts.append(part)
        table = pd.concat(parts) if parts else pd.DataFrame({"architecture": []})
        table = table.reindex(numbers)
        for name in table:
            # Whole numbers stay whole where the other architecture has none.
            if pd.api.types.is_float_dtype(table[name]) and table[name].isna().any():
                table[name] = table[name].convert_dtypes()
        for name in _MEASURES:
            values = self._columns[name][places]
            if name in self.columns.values() or not np.isnan(values).all():
                table[name] = values
        table["rejected"] = np.array(reasons(self.space))[self._columns["reason"][places]]
        table.insert(0, "point", numbers)
        return table.reset_index(drop=True)

    @cached_property
    def front(self):
        """The designs that no other one beats in all objectives, as a DataFrame like `frame`.

        Of equal ones the first one stands for all. They are in the order of the first objective,
        the best first.
        """
        places, values = self._front
        order = np.lexsort((places, *values.T[::-1]))
        table = self._frame(places[order]).drop(columns="rejected")
        return table

    @cached_property
    def knee(self):
        """The point of the front with the best compromise, a dict; None for an empty front."""
        places, values = self._front
        if not len(places):
            return None
        return self._entry(int(self._number(places[knee(values)])))

    def _number(self, place):
        return place if self._numbers is None else self._numbers[place]

    def why(self, number):
        """Why a point was rejected, as a sentence; an empty text if it was not."""
        place = self._places([number])[0]
        found = {name: column[place] for name, column in self._columns.items()}
        reason = int(found["reason"])
        point = self.space.point(number)
        if reason == FEASIBLE:
            return ""
        if reason == CONFIGURATION:
            return (
                f"buffer of {point['buffer_bytes']:,} bytes: an array of {point['rows']} x "
                f"{point['cols']} needs a larger one"
            )
        if reason == FOLDING:
            target = {n: point[n] for n in ("multipliers", "cycles_per_image") if n in point}
            text = ", ".join(f"{name} = {value:,}" for name, value in target.items())
            return f"no folding has {text or 'so few multipliers'}"
        if reason == PROGRAM:
            return self._job.programs.problem(point["buffer_bytes"], point["accumulator_rows"])
        if reason < RESOURCE + len(RESOURCES):
            name = RESOURCES[reason - RESOURCE]
            device = point["device"]
            room = available(device)[name]
            return f"needs {found[name]:,.0f} {name}, but {device} has {room:,.0f}"
        name, column, limit = self.space.limits[reason - RESOURCE - len(RESOURCES)]
        return f"{column} is {found[column]:.4g}, and {name} asks for {limit:.4g}"

    def sources(self, number):
        """For each number of a point where it comes from."""
        point = self.space.point(number)
        place = self._places([number])[0]
        cells = CALIBRATED_SOURCE if family(point.get("device", "")) else RULE_SOURCE
        odd = point.get("operand_bits", 8) != 8 or point.get("dataflow", "weight-stationary") != (
            "weight-stationary"
        )
        if cells == CALIBRATED_SOURCE and odd:
            cells += " of the weight-stationary array with 8 bits"
        if cells == CALIBRATED_SOURCE and point.get("packed"):
            cells += ", logic as of the unpacked array"
        form = "closed form"
        if point["architecture"] == "systolic" and self._job.runs_programs(point):
            form += " of programs"
        return {
            name: cells if name in (*RESOURCES, "cost") else form
            for name in _MEASURES
            if not np.isnan(self._columns[name][place])
        }

    def refine(self, count=4, *, rtl=1, synthesis=1):
        """Look at designs of the front again, by slower means.

        Parameters
        ----------
        count : int
            Designs nearest to the knee for which events are simulated (SimPy), and for a
            weight-stationary array that can be built, the cycles of its program.
        rtl, synthesis : int
            Of these, from the knee on, how many are built and simulated at RTL, and synthesized for
            their device.

        Returns
        -------
        DataFrame
            A row for each number: ``point, fidelity, quantity, value``. All of it is in `refined`
            too; what a fidelity cannot do says so there under "problem".
        """
        places, values = self._front
        if not len(places):
            return self.refinements
        low = values.min(axis=0)
        span = values.max(axis=0) - low
        distance = ((values - low) / np.where(span > 0, span, 1)).sum(axis=1)
        order = np.argsort(distance, kind="stable")[:count]
        with Store(self._store, self._job) as kept:
            for rank, place in enumerate(places[order].tolist()):
                number = int(self._number(place))
                wanted = [
                    *refinement.events_of(self.space.point(number)),
                    *(["rtl"] if rank < rtl else []),
                    *(["synthesis"] if rank < synthesis else []),
                ]
                for fidelity in wanted:
                    found = kept.get_refined(number, fidelity)
                    if found is None:
                        found = self._refined(number, fidelity)
                        kept.put_refined(number, fidelity, found)
                    self.refined.setdefault(number, {})[fidelity] = found
        self.__dict__.pop("knee", None)
        return self.refinements

    def _refined(self, number, fidelity):
        point = self.space.point(number)
        try:
            return refinement.FIDELITIES[fidelity](self._network, self._job.integer, point)
        except (NetworkError, ValueError) as error:
            return {"problem": str(error)}

    @property
    def refinements(self):
        """What `refine` found, as a DataFrame: ``point, fidelity, quantity, value``."""
        rows = [
            (number, fidelity, quantity, value)
            for number, found in self.refined.items()
            for fidelity, numbers in found.items()
            for quantity, value in numbers.items()
        ]
        names = ["point", "fidelity", "quantity", "value"]
        return pd.DataFrame(rows, columns=names, dtype=object)  # cycles stay integers

    def _entry(self, number):
        place = self._places([number])[0]
        measures = {
            name: float(self._columns[name][place])
            for name in _MEASURES
            if not np.isnan(self._columns[name][place])
        }
        return {
            "point": number,
            **self.space.point(number),
            **measures,
            "sources": self.sources(number),
            **({"refined": self.refined[number]} if number in self.refined else {}),
        }

    def to_dict(self):
        """All but the points that others beat, as plain data; keys carry units."""
        return {
            "network": self.name,
            "method": self.method,
            "seed": self.seed,
            "objectives": list(self.space.objectives),
            "space_points": len(self.space),
            "points": self.points,
            "feasible": self.feasible,
            "rejected": self.rejected,
            "front": [self._entry(int(number)) for number in self.front["point"]],
            "knee": self.knee,
            "evaluated": self.evaluated,
            "reused": self.reused,
            "workers": self.workers,
            "seconds": self.seconds,
            "evaluation_cpu_s": self.cpu_s,
            "points_per_second": self.points_per_second,
        }

    @property
    def columns(self):
        """Columns of the objectives, by their names."""
        return {name: OBJECTIVES[name] for name in self.space.objectives}
