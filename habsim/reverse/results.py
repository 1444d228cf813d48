"""What came of a search: its chunks put together, probabilities of each place and launch time, and which is better."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from habsim.reverse.flights import CELL, NO_MEMBER, REASONS, SCORE_UNIT, ChunkResult, no_losses
from habsim.reverse.plan import Plan, chunks

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LaunchTime:
    """How good one launch time is, `rank` from 1 among all; `time` in Unix seconds.

    `best` is the flat index of its best cell. Of all places with the configuration of that one `places` have a hit, and
    `mean_probability` is that of a launch from anywhere in the search area. `reaching` cells have a hit, of all
    configurations.
    """

    time: float
    rank: int
    best: int
    places: int
    mean_probability: float
    reaching: int


@dataclass(frozen=True)
class Lost:
    """`flights` of the search that cannot be judged, why, and the first and last of their launches, Unix seconds."""

    reason: str
    flights: int
    first: float
    last: float

    def __str__(self) -> str:
        return f"{self.flights:,} flights, launched {_utc(self.first)} to {_utc(self.last)}, {self.reason}"


@dataclass(frozen=True)
class SearchResult:
    """All that is known after a search, or after some of its chunks.

    `cells` of type `CELL` (configurations, times, places). `flights` were made, `asked` is what the search would be
    without refinement, `chunks` (done, of all).
    """

    plan: Plan
    members: tuple[int, ...]
    cells: npt.NDArray[np.void]
    flights: int
    asked: int
    chunks: tuple[int, int]
    lost: tuple[Lost, ...]

    @cached_property
    def probability(self) -> Floats:
        """Share of the members that reach the zone (configurations, times, places), not a number where none tells.

        One that cannot be judged counts as a miss, so this is what is certain: where it is told by few, it is low.
        """
        return self._mean(self.cells["hits"])

    @cached_property
    def score(self) -> Floats:
        """Mean score of the members, as `probability`."""
        return self._mean(self.cells["score"] * SCORE_UNIT)

    def _mean(self, sums: npt.NDArray[Any]) -> Floats:
        """Sums over the members (configurations, times, places) for each of them."""
        return np.where(self.cells["flown"] > 0, sums / len(self.members), np.nan)

    def launch_times(self) -> list[LaunchTime]:
        """How good each launch time is, in the order of time; those at which no flight could be judged are left out."""
        bests, found = [], []
        for index, time in enumerate(self.plan.mission.window.times):
            reached = np.isfinite(self.cells["distance"][:, index])
            if not reached.any():
                continue
            configuration, place = np.nonzero(reached)
            cells = np.ravel_multi_index((configuration, np.full_like(place, index), place), self.cells.shape)
            best = self.best_first(cells)[0]
            probability = self.probability[np.unravel_index(best, self.cells.shape)[0], index]
            known = probability[np.isfinite(probability)]
            reaching = int(np.count_nonzero(self.cells["hits"][:, index]))
            bests.append(best)
            found.append(LaunchTime(float(time), 0, int(best), int((known > 0.0).sum()), float(known.mean()), reaching))
        # Of equal ones the earlier is better, whatever place it is at.
        order = np.array(bests, np.intp)
        ranks = np.empty(len(order), np.intp)
        score, distance = self.score.ravel()[order], self.cells["distance"].ravel()[order]
        ranks[np.lexsort((distance, -score))] = np.arange(1, len(order) + 1)
        return [dataclasses.replace(each, rank=int(rank)) for each, rank in zip(found, ranks, strict=True)]

    def best_first(self, cells: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Indices of the flat `cells` in their rank: by score, then by distance, then the earliest."""
        configuration, time, place = np.unravel_index(cells, self.cells.shape)
        distance, score = self.cells["distance"].ravel()[cells], self.score.ravel()[cells]
        return cells[np.lexsort((place, configuration, time, distance, -score))]

    def best_of_places(self, time: int | None = None) -> npt.NDArray[np.intp]:
        """For each place the flat index of the cell that is the best, at one launch time, by its index, or at any."""
        chosen = slice(None) if time is None else slice(time, time + 1)
        score = np.nan_to_num(self.score[:, chosen], nan=-1.0)
        times, places = score.shape[1:]
        score = score.reshape(-1, places)
        distance = self.cells["distance"][:, chosen].reshape(-1, places)
        best = np.argmin(np.where(score == score.max(axis=0), distance, np.inf), axis=0)
        configuration, at = np.divmod(best, times)
        return np.ravel_multi_index((configuration, at + (time or 0), np.arange(places)), self.cells.shape)


def combine(plan: Plan, members: Sequence[int], results: Iterable[ChunkResult]) -> SearchResult:
    """What came of the chunks of a search, in any order; one that comes twice counts once.

    Raises ValueError for a result that is of another search.
    """
    wanted = {chunk.index: chunk for chunk in chunks(plan, members)}
    window, places = plan.mission.window, plan.area.count
    cells = np.zeros((len(plan.configurations), window.count, places), CELL)
    cells["distance"], cells["member"] = np.inf, NO_MEMBER
    lost, flights, done = no_losses(), 0, set()
    for result in results:
        chunk = wanted.get(result.index)
        if chunk is None:
            raise ValueError(f"chunk {result.index} is not of this search, which has {len(wanted)}")
        part = cells[chunk.configuration, slice(*chunk.times), slice(*chunk.places)]
        if part.shape != result.cells.shape:
            raise ValueError(f"chunk {result.index} holds {result.cells.shape} cells, this search has {part.shape}")
        if result.index in done:
            continue
        done.add(result.index)
        _merge(part, result.cells)
        flights += result.flights
        lost[:, 0] += result.lost[:, 0]
        lost[:, 1] = np.minimum(lost[:, 1], result.lost[:, 1])
        lost[:, 2] = np.maximum(lost[:, 2], result.lost[:, 2])
    return SearchResult(
        plan=plan,
        members=tuple(members),
        cells=cells,
        flights=flights,
        asked=cells.size * len(members),
        chunks=(len(done), len(wanted)),
        lost=tuple(
            Lost(why, int(lost[reason, 0]), float(lost[reason, 1]), float(lost[reason, 2]))
            for reason, why in REASONS.items()
            if lost[reason, 0]
        ),
    )


def _merge(cells: npt.NDArray[np.void], more: npt.NDArray[np.void]) -> None:
    """Add what other members found; of equal distances that of the lower member is kept, whichever comes first."""
    for name in ("flown", "hits", "score"):
        cells[name] += more[name]
    same = (more["distance"] == cells["distance"]) & np.isfinite(more["distance"])
    closer = (more["distance"] < cells["distance"]) | (same & (more["member"] < cells["member"]))
    for name in ("member", "distance", "time", "latitude", "longitude", "altitude"):
        cells[name][closer] = more[name][closer]


def _utc(timestamp: float) -> str:
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).isoformat().replace("+00:00", "Z")
