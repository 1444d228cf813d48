"""What came of a search: probabilities for each place and launch time, ranked, as a table and as a map layer."""

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

RANKED = 100
MAPPED = 20_000  # places of a map layer: about 6 MB


@dataclass(frozen=True)
class Candidate:
    """One place and launch time with one configuration, as good as its `rank` says, from 1.

    Of `members` that could be judged `hits` reach the zone; `probability` is their share, `score` their mean score
    (see `flights.score`), by which candidates are ranked, then by `distance`. `distance` (m from the centre of the
    zone), `hit_time`, `hit_latitude`, `hit_longitude` and `hit_altitude` are of the closest approach of all members,
    that of `member`: of the landing where landings count. Times are Unix seconds.
    """

    rank: int
    time: float
    latitude: float
    longitude: float
    configuration: str
    probability: float
    score: float
    members: int
    hits: int
    member: int
    distance: float
    hit_time: float
    hit_latitude: float
    hit_longitude: float
    hit_altitude: float


@dataclass(frozen=True)
class LaunchTime:
    """How good one launch time is: its `best` candidate, and all places with the configuration of that one.

    `places` of them have a hit, `mean_probability` is that of a launch from anywhere in the search area.
    """

    time: float
    best: Candidate
    places: int
    mean_probability: float


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

    def ranked(self, limit: int = RANKED) -> list[Candidate]:
        """The best places and launch times: by score, then by distance, then the earliest. Never a place not flown."""
        some = np.flatnonzero(self.cells["hits"])
        if len(some) < limit:
            some = np.flatnonzero(np.isfinite(self.cells["distance"]))
        return [self._candidate(rank, int(cell)) for rank, cell in enumerate(self.best_first(some)[:limit], 1)]

    def launch_times(self) -> list[LaunchTime]:
        """How good each launch time is, in the order of time; those at which no flight could be judged are left out."""
        found = []
        for index, time in enumerate(self.plan.mission.window.times):
            cells = self.cells[:, index]
            some = np.argwhere(np.isfinite(cells["distance"]))
            if not len(some):
                continue
            flat = np.ravel_multi_index((some[:, 0], np.full(len(some), index), some[:, 1]), self.cells.shape)
            best = int(self.best_first(flat)[0])
            probability = self.probability[np.unravel_index(best, self.cells.shape)[0], index]
            known = probability[np.isfinite(probability)]
            candidate = self._candidate(1, best)
            found.append(LaunchTime(float(time), candidate, int((known > 0.0).sum()), float(known.mean())))
        ranks = {id(x): n for n, x in enumerate(sorted(found, key=_goodness), 1)}
        return [dataclasses.replace(x, best=dataclasses.replace(x.best, rank=ranks[id(x)])) for x in found]

    def table(self, limit: int = RANKED) -> list[dict[str, Any]]:
        """`ranked` as rows of plain numbers and words."""
        return [dataclasses.asdict(candidate) for candidate in self.ranked(limit)]

    def map_layer(self, time: float | None = None, limit: int = MAPPED) -> dict[str, Any]:
        """The places as GeoJSON points (RFC 7946), each with the best it offers, at one launch `time` or at any.

        At most `limit` places, the best. Places that were left out, because a neighbour told that they miss, have a
        probability of 0 and no distance. Raises ValueError for a time that is none of the launch times.
        """
        cells = self.best_of_places(time)[:limit].tolist()
        features = [self._feature(self._candidate(rank, cell)) for rank, cell in enumerate(cells, 1)]
        return {"type": "FeatureCollection", "features": features}

    def best_of_places(self, time: float | None = None) -> npt.NDArray[np.intp]:
        """For each place the cell that is the best, at one launch `time` or at any, as indices of the flat `cells`.

        The best places first; those where no flight could be judged are left out. Raises as `map_layer`.
        """
        times = self.plan.mission.window.times
        chosen = slice(None)
        if time is not None:
            index = np.flatnonzero(times == time)
            if not len(index):
                raise ValueError(f"{_utc(time)} is not one of the {len(times)} launch times")
            chosen = slice(int(index[0]), int(index[0]) + 1)
        score = np.nan_to_num(self.score[:, chosen], nan=-1.0)
        places = score.shape[2]
        score = score.reshape(-1, places)
        highest = score.max(axis=0)
        distance = np.where(score == highest, self.cells["distance"][:, chosen].reshape(-1, places), np.inf)
        best = np.argmin(distance, axis=0)
        configuration, at = np.divmod(best, len(times[chosen]))
        cells = np.ravel_multi_index((configuration, at + (chosen.start or 0), np.arange(places)), self.cells.shape)
        where = np.flatnonzero(highest >= 0.0)
        found: npt.NDArray[np.intp] = cells[where[np.lexsort((where, distance.min(axis=0)[where], -highest[where]))]]
        return found

    def best_first(self, cells: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Indices of the flat `cells` in the order of `ranked`."""
        configuration, time, place = np.unravel_index(cells, self.cells.shape)
        distance, score = self.cells["distance"].ravel()[cells], self.score.ravel()[cells]
        return cells[np.lexsort((place, configuration, time, distance, -score))]

    def _candidate(self, rank: int, cell: int) -> Candidate:
        configuration, time, place = np.unravel_index(cell, self.cells.shape)
        found = self.cells[configuration, time, place]
        longitude, latitude = self.plan.area.places[place]
        return Candidate(
            rank=rank,
            time=float(self.plan.mission.window.times[time]),
            latitude=float(latitude),
            longitude=float(longitude),
            configuration=self.plan.configurations[configuration].name,
            probability=float(self.probability[configuration, time, place]),
            score=float(self.score[configuration, time, place]),
            members=int(found["flown"]),
            hits=int(found["hits"]),
            member=int(found["member"]),
            distance=float(found["distance"]),
            hit_time=float(found["time"]),
            hit_latitude=float(found["latitude"]),
            hit_longitude=(float(found["longitude"]) + 180.0) % 360.0 - 180.0,
            hit_altitude=float(found["altitude"]),
        )

    @staticmethod
    def _feature(candidate: Candidate) -> dict[str, Any]:
        properties: dict[str, Any] = {
            name: getattr(candidate, name)
            for name in ("rank", "time", "configuration", "probability", "score", "members", "hits")
        }
        properties["distance"] = None if candidate.member == NO_MEMBER else round(candidate.distance, 1)
        position = [round(candidate.longitude, 6), round(candidate.latitude, 6)]
        return {"type": "Feature", "geometry": {"type": "Point", "coordinates": position}, "properties": properties}


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


def _goodness(launch_time: LaunchTime) -> tuple[float, float, float]:
    return -launch_time.best.score, launch_time.best.distance, launch_time.time


def _utc(timestamp: float) -> str:
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).isoformat().replace("+00:00", "Z")
