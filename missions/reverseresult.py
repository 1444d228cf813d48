"""The result of a search as JSON, and the parts of it that are asked for."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from habsim.errors import ConflictError
from habsim.reverse import (
    PLACE,
    SCORE_UNIT,
    Columns,
    Estimate,
    LaunchTime,
    SearchArea,
    SearchResult,
    candidates,
    layer,
    table,
)
from missions.searches import seconds, utc

MAPPED = 20_000  # places of a map layer: about 4 MB
_VERSION = 2  # of what is kept
_LEVEL = 1  # of zlib: what is kept is compressed once more

_CANDIDATE = (
    "time", "latitude", "longitude", "configuration", "probability", "score", "members", "hits", "member", "distance",
    "hit_time", "hit_latitude", "hit_longitude", "hit_altitude",
)  # fmt: skip
_SHORT = {"latitude": "lat", "longitude": "lon", "hit_latitude": "hit_lat", "hit_longitude": "hit_lon"}
_TIMES = ("time", "hit_time")
_DECIMALS = {"distance": 1, "hit_time": 0, "hit_altitude": 1}
_MOST_DECIMALS = 6


def content(found: SearchResult, plan: dict[str, Any], size: Estimate) -> bytes:
    """All of a search that is kept.

    `table` holds candidates as columns of one length, times in Unix seconds. `layers` holds the best of each place, at
    any launch time and at each: the columns of `habsim.reverse.PLACE`, one after the other, as zlib and base64.
    """
    rows = table(found)
    times = found.launch_times()
    best = _rounded(candidates(found, np.array([each.best for each in times], np.intp)))
    configurations = [configuration.name for configuration in found.plan.configurations]
    judged = {each.time for each in times}
    content = {
        "version": _VERSION,
        "mission": plan["mission"],
        "places": size.places,
        "times": size.times,
        "configurations": configurations,
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
        "reaching": sum(each.reaching for each in times),
        "launch_times": [_launch_time(each, _candidate(best, row, configurations)) for row, each in enumerate(times)],
        "table": {"ranked": rows.ranked, "columns": _rounded(rows.columns)},
        "layers": {
            "area": dataclasses.asdict(found.plan.area),
            "times": found.plan.mission.window.times,
            "best": _packed(layer(found)),
            "of_times": [
                _packed(layer(found, index)) if time in judged else None
                for index, time in enumerate(found.plan.mission.window.times)
            ],
        },
        "warnings": plan["warnings"],
        "provenance": plan["provenance"],
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _rounded(columns: Columns) -> Columns:
    """As JSON is to have them."""
    ready = {}
    for name, column in columns.items():
        is_real = column.dtype.kind == "f"
        ready[name] = np.ascontiguousarray(np.round(column, _DECIMALS.get(name, _MOST_DECIMALS)) if is_real else column)
    return ready


def _packed(places: npt.NDArray[np.void]) -> str:
    columns = b"".join(places[name].tobytes() for name in PLACE.names or ())
    return base64.b64encode(zlib.compress(columns, _LEVEL)).decode()


def _unpacked(kept: str) -> npt.NDArray[np.void]:
    columns = zlib.decompress(base64.b64decode(kept))
    places = np.empty(len(columns) // PLACE.itemsize, PLACE)
    begin = 0
    for name in PLACE.names or ():
        end = begin + len(places) * PLACE[name].itemsize
        places[name] = np.frombuffer(columns[begin:end], PLACE[name])
        begin = end
    return places


def _launch_time(launch_time: LaunchTime, best: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": utc(launch_time.time),
        "rank": launch_time.rank,
        "places": launch_time.places,
        "mean_probability": round(launch_time.mean_probability, _MOST_DECIMALS),
        "reaching": launch_time.reaching,
        "best": best,
    }


def _candidate(columns: Any, row: int, configurations: list[str]) -> dict[str, Any]:
    """A row of columns, which may be arrays or lists, in words and plain numbers."""
    found = {}
    for name in _CANDIDATE:
        value = columns[name][row]
        if isinstance(value, np.generic):
            value = None if np.isnan(value) else value.item()
        if name == "configuration":
            value = configurations[value]
        elif name in _TIMES and value is not None:
            value = utc(value)
        found[_SHORT.get(name, name)] = value
    return found


class Result:
    """A result that was kept, of which parts are asked for."""

    def __init__(self, packed: bytes) -> None:
        """`packed`: what `content` gave. Raises ConflictError for what an earlier version gave."""
        kept: dict[str, Any] = orjson.loads(packed)
        if kept.pop("version", None) != _VERSION:
            raise ConflictError("an earlier version of HABSIM kept the result of this search; search again")
        self._table, self._layers = kept.pop("table"), kept.pop("layers")
        self._columns: dict[str, list[Any]] = self._table["columns"]
        self._kept = kept

    def summary(self) -> dict[str, Any]:
        """All but the table and the layers."""
        return self._kept

    def has_time(self, time: str) -> bool:
        """Whether a launch time (RFC 3339) has been judged."""
        return self._launch_time(time) is not None

    def reaching(self, time: str | None) -> int:
        """How many launches have a hit, of the whole search or of one launch time."""
        of = self._kept if time is None else self._launch_time(time)
        return 0 if of is None else int(of["reaching"])

    def rows(self, time: str | None) -> list[int]:
        """The candidates of the whole search, or of one launch time, best first, as rows of the table."""
        if time is None:
            return list(range(self._table["ranked"]))
        wanted = round(seconds(time))
        times, distance = self._columns["time"], self._columns["distance"]
        return [row for row, at in enumerate(times) if round(at) == wanted and distance[row] is not None]

    def candidate(self, row: int, rank: int) -> dict[str, Any]:
        return {"rank": rank, **_candidate(self._columns, row, self._kept["configurations"])}

    def map_layer(self, time: str | None) -> dict[str, Any]:
        """The places as GeoJSON points (RFC 7946), each with the best it offers, at a launch time or at any.

        The best `MAPPED` at most, of `total` that could be judged.
        """
        times = self._layers["times"]
        kept = self._layers["best"]
        if time is not None:
            wanted = round(seconds(time))
            kept = next(blob for at, blob in zip(times, self._layers["of_times"], strict=True) if round(at) == wanted)
        places = _unpacked(kept)
        judged = np.flatnonzero(places["members"])
        best = judged[np.argsort(-places["score"][judged].astype(np.int64), kind="stable")][:MAPPED]
        area = SearchArea(**self._layers["area"])
        positions = np.round(area.located(area.points[best]), _MOST_DECIMALS).tolist()
        moments, configurations, members = (
            [utc(at) for at in times],
            self._kept["configurations"],
            self._kept["members"],
        )
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": position},
                "properties": {
                    "time": moments[at],
                    "configuration": configurations[configuration],
                    "probability": round(hits / len(members), _MOST_DECIMALS),
                    "score": round(score * SCORE_UNIT / len(members), _MOST_DECIMALS),
                    "members": count,
                    "hits": hits,
                },
            }
            for position, (at, configuration, count, hits, score) in zip(positions, places[best].tolist(), strict=True)
        ]
        return {"type": "FeatureCollection", "features": features, "total": len(judged), "cut": len(judged) > MAPPED}

    def _launch_time(self, time: str) -> dict[str, Any] | None:
        wanted = round(seconds(time))
        found = (each for each in self._kept["launch_times"] if seconds(each["time"]) == wanted)
        return next(found, None)
