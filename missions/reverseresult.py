"""The result of a search as JSON, and the parts of it that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from habsim.reverse import Candidate, Estimate, LaunchTime, SearchResult, Table, table
from missions.searches import seconds, utc

_CANDIDATE = (
    "time", "latitude", "longitude", "configuration", "probability", "score", "members", "hits", "member", "distance",
    "hit_time", "hit_latitude", "hit_longitude", "hit_altitude",
)  # fmt: skip
_MAPPED = ("time", "configuration", "probability", "score", "members", "hits", "distance")
_SHORT = {"latitude": "lat", "longitude": "lon", "hit_latitude": "hit_lat", "hit_longitude": "hit_lon"}
_TIMES = ("time", "hit_time")


def content(found: SearchResult, plan: dict[str, Any], size: Estimate) -> bytes:
    """All of a search that is kept. `table` holds candidates as columns of one length, times in Unix seconds."""
    rows = table(found)
    content = {
        "mission": plan["mission"],
        "places": size.places,
        "times": size.times,
        "configurations": [configuration.name for configuration in found.plan.configurations],
        "members": list(found.members),
        "failed_members": plan["failed_members"],
        "flights": {
            "asked": found.asked,
            "flown": found.flights,
            "judged": int(found.cells["flown"].sum(dtype=np.int64)),
            "hits": int(found.cells["hits"].sum(dtype=np.int64)),
            "lost": [
                {"reason": lost.reason, "flights": lost.flights, "first": utc(lost.first), "last": utc(lost.last)}
                for lost in found.lost
            ],
        },
        "launch_times": [_launch_time(each) for each in found.launch_times()],
        "table": {"ranked": rows.ranked, "columns": _ready(rows)},
        "warnings": plan["warnings"],
        "provenance": plan["provenance"],
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _ready(rows: Table) -> dict[str, npt.NDArray[Any]]:
    return {name: np.ascontiguousarray(column) for name, column in rows.columns.items()}


def _launch_time(launch_time: LaunchTime) -> dict[str, Any]:
    return {
        "time": utc(launch_time.time),
        "rank": launch_time.best.rank,
        "places": launch_time.places,
        "mean_probability": round(launch_time.mean_probability, 6),
        "best": _candidate(launch_time.best),
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {_SHORT.get(name, name): _value(name, getattr(candidate, name)) for name in _CANDIDATE}


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return utc(value)
    if isinstance(value, float):
        return round(value, 1 if name in {"distance", "hit_altitude"} else 6)
    return value


class Result:
    """A result that was kept, of which parts are asked for."""

    def __init__(self, packed: bytes) -> None:
        """`packed`: what `content` gave."""
        self._kept: dict[str, Any] = orjson.loads(packed)
        self._columns: dict[str, list[Any]] = self._kept["table"]["columns"]

    def summary(self) -> dict[str, Any]:
        """All but the table."""
        return {name: value for name, value in self._kept.items() if name != "table"}

    def has_time(self, time: str) -> bool:
        """Whether a launch time (RFC 3339) has been judged."""
        return any(seconds(each["time"]) == round(seconds(time)) for each in self._kept["launch_times"])

    def rows(self, time: str | None) -> list[int]:
        """The candidates of the whole search, or of one launch time, best first, as rows of the table."""
        if time is None:
            return list(range(self._kept["table"]["ranked"]))
        distance = self._columns["distance"]
        return [row for row in self._rows_at(time) if distance[row] is not None]

    def candidate(self, row: int, rank: int) -> dict[str, Any]:
        return {"rank": rank, **{_SHORT.get(name, name): self._at(name, row) for name in _CANDIDATE}}

    def map_layer(self, time: str | None) -> dict[str, Any]:
        """The places as GeoJSON points (RFC 7946), each with the best it offers, at a launch time or at any."""
        rows = range(len(self._columns["place"])) if time is None else self._rows_at(time)
        best: dict[int, int] = {}
        for row in rows:
            best.setdefault(self._columns["place"][row], row)
        return {"type": "FeatureCollection", "features": [self._feature(row) for row in best.values()]}

    def _rows_at(self, time: str) -> list[int]:
        wanted = round(seconds(time))
        return [row for row, at in enumerate(self._columns["time"]) if round(at) == wanted]

    def _at(self, name: str, row: int) -> Any:
        value = self._columns[name][row]
        if name == "configuration":
            return self._kept["configurations"][value]
        return _value(name, value)

    def _feature(self, row: int) -> dict[str, Any]:
        position = [self._columns["longitude"][row], self._columns["latitude"][row]]
        properties = {name: self._at(name, row) for name in _MAPPED}
        return {"type": "Feature", "geometry": {"type": "Point", "coordinates": position}, "properties": properties}
