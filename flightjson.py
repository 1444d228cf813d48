"""Flights and ensembles as the JSON of HABSIM: what the routes answer, and what is kept of a simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from habsim.classes import FlightPhase, Trajectory
from simulate import Ensemble, Prediction

Points = npt.NDArray[np.float64]

PHASES = ("ascent", "coast", "descent")
# Multiplying, rounding and dividing by a power of ten gives the shortest decimal text, as np.round does, at a third
# of its cost; the last two columns are the constant zeros of the JSON points.
SCALE = np.array([1e3, 1e7, 1e7, 1e2, 1e3, 1e3, 1.0, 1.0])
_NO_POINTS: Points = np.empty((0, 6))


def points_json(trajectory: Trajectory) -> bytes:
    """Return the HABSIM shape `[[point, ...ascent], [...coast], [...descent]]` as JSON.

    A point is `[Unix seconds, latitude, longitude, altitude m, u m/s, v m/s, 0, 0]`; the zeros are for old clients.
    A phase that the flight does not have is `[]`.
    """
    points = {phase.name: phase.points for phase in trajectory.phases}
    blocks = [points.get(name, _NO_POINTS) for name in PHASES]
    coast = len(blocks[0])
    descent = coast + len(blocks[1])
    table = np.zeros((descent + len(blocks[2]), 8))
    np.concatenate(blocks, out=table[:, :6])
    round_in_place(table, SCALE)
    text = orjson.dumps([table[:coast], table[coast:descent], table[descent:]], option=orjson.OPT_SERIALIZE_NUMPY)
    return text.replace(b",0.0,0.0]", b",0,0]")


def round_in_place(points: Points, scale: Points) -> None:
    """Round the columns of `points` to 1 part in `scale`, of as many columns."""
    np.multiply(points, scale, out=points)
    np.rint(points, out=points)
    np.divide(points, scale, out=points)
    # -0.0 + 0.0 is 0.0: no "-0.0" in any text
    np.add(points, 0.0, out=points)


def flight_json(prediction: Prediction, asked_longitude: float) -> bytes:
    """The result of a job that flies one launch with one member."""
    trajectory = in_convention(prediction.trajectory, asked_longitude)
    time, latitude, longitude, altitude = trajectory.phases[-1].points[-1, :4].tolist()
    content = {
        "path": orjson.Fragment(points_json(trajectory)),
        "landing": {
            "timestamp": round(time, 3),
            "lat": round(latitude, 7),
            "lon": round(longitude, 7),
            "alt": round(altitude, 2),
        },
        "warnings": list(trajectory.warnings),
        "provenance": prediction.provenance.to_dict(),
    }
    return orjson.dumps(content)


def ensemble_json(ensemble: Ensemble, request_id: str, asked_longitude: float) -> bytes:
    """The body of `/sim/spaceshot`, and the result of an ensemble job."""
    paths = [
        None if path is None else orjson.Fragment(points_json(in_convention(path, asked_longitude)))
        for path in ensemble.trajectories
    ]
    landings = ensemble.landings
    latitudes = np.round(landings[:, 0], 7).tolist()
    longitudes = np.round(_conventional(landings[:, 1], asked_longitude), 7).tolist()
    rows = zip(latitudes, longitudes, *landings[:, 2:4].astype(int).T.tolist(), landings[:, 4].tolist(), strict=True)
    statistics = ensemble.statistics.to_dict()
    mean = statistics["mean"]
    mean["lon"] = round(_conventional(mean["lon"] % 360.0, asked_longitude), 7)
    content = {
        "paths": paths,
        "heatmap_data": [
            {"lat": lat, "lon": lon, "perturbation_id": perturbation, "model_id": member, "weight": weight}
            for lat, lon, perturbation, member, weight in rows
        ],
        "request_id": request_id,
        "cycle": ensemble.provenance.cycle,
        "members": list(ensemble.members),
        "failed_members": [{"model_id": m, "reason": reason} for m, reason in ensemble.failed.items()],
        "seed": ensemble.provenance.seed,
        "landing": {**statistics, "over_water": round(ensemble.over_water, 4)},
        "warnings": list(ensemble.warnings),
        "provenance": ensemble.provenance.to_dict(),
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _conventional(longitude: Any, asked: float) -> Any:
    """Longitudes 0..360 in the convention of the request: 0..360 when it was above 180, else -180..180."""
    return longitude if asked > 180.0 else longitude - 360.0 * (longitude > 180.0)


def in_convention(trajectory: Trajectory, asked_longitude: float) -> Trajectory:
    """The trajectory with longitudes in the convention of the request."""
    if asked_longitude > 180.0:
        return trajectory
    phases = []
    for phase in trajectory.phases:
        points = phase.points.copy()
        points[:, 2] = _conventional(points[:, 2], asked_longitude)
        phases.append(FlightPhase(phase.name, points))
    return Trajectory(tuple(phases), trajectory.warnings)
