"""Submitted flights are those of `/sim`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from api.bodies import EnsembleConfig, ForwardConfig
from flightjson import flight_json
from habsim.errors import BadRequestError
from missions.cluster import orchestrator_for
from missions.jobtypes import JOB_TYPES
from simulate import Orchestrator
from tests.worlds import START, make_bucket, make_settings

LAUNCH: dict[str, Any] = {"timestamp": START + 3600.0, "lat": 37.3553, "lon": -121.8763, "alt": 24.0}
BALLOONS: dict[str, dict[str, Any]] = {
    "zpb": {"equil": 20000.0, "eqtime": 1.0, "asc": 4.0, "desc": 8.0, "coeff": 0.9},
    "standard": {"equil": 20000.0, "eqtime": 0.0, "asc": 4.0, "desc": 8.0, "step": 60.0},
    "physical": {"envelope": "kaymont-1200", "payload_mass": 1.0, "asc": 5.0, "chute_diameter": 1.2},
}


@pytest.fixture(scope="module")
def orchestrator(tmp_path_factory: pytest.TempPathFactory) -> Orchestrator:
    folder: Path = tmp_path_factory.mktemp("jobs")
    make_bucket(folder / "bucket", members=2)
    return orchestrator_for(make_settings(folder, bucket_folder=folder / "bucket"))


@pytest.mark.parametrize("profile", BALLOONS)
def test_a_forward_job_flies_what_sim_flies(orchestrator: Orchestrator, profile: str) -> None:
    config = ForwardConfig.model_validate({**LAUNCH, **BALLOONS[profile], "profile": profile, "model": 1})
    kind = JOB_TYPES["forward"]
    plan = kind.plan(kind.checked(config.model_dump(exclude_none=True)), orchestrator)
    (spec,) = kind.chunks(plan)
    expected = orchestrator.predict(config.flight(), 1, orchestrator.cycles.current())
    assert kind.run_chunk(spec, orchestrator) == flight_json(expected, LAUNCH["lon"])


def test_the_air_of_the_forecast_is_passed_on(orchestrator: Orchestrator) -> None:
    given = {**LAUNCH, **BALLOONS["physical"], "profile": "physical", "atmosphere": "model"}
    config = ForwardConfig.model_validate(given)
    kind = JOB_TYPES["forward"]
    plan = kind.plan(kind.checked(config.model_dump(exclude_none=True)), orchestrator)
    with pytest.raises(BadRequestError, match="atmosphere=model needs winds with heights"):
        kind.run_chunk(plan, orchestrator)


def test_an_ensemble_of_a_gas_balloon_flies_with_its_own_perturbations(orchestrator: Orchestrator) -> None:
    given = {**LAUNCH, **BALLOONS["physical"], "profile": "physical", "num_perturbations": 5, "perturb": {"fill": 0.1}}
    config = EnsembleConfig.model_validate(given)
    kind = JOB_TYPES["ensemble"]
    plan = kind.plan(kind.checked(config.model_dump(exclude_none=True)), orchestrator)
    (spec,) = kind.chunks(plan)
    found = orjson.loads(kind.run_chunk(spec, orchestrator))
    assert found["failed_members"] == []
    assert len({row["lon"] for row in found["heatmap_data"]}) == 2 * 6
    with pytest.raises(ValidationError, match=r"perturb\.equil is unknown"):
        EnsembleConfig.model_validate({**given, "perturb": {"equil": 100.0}})


def test_a_job_whose_envelope_is_listed_no_more_says_so(orchestrator: Orchestrator) -> None:
    config = {**LAUNCH, **BALLOONS["physical"], "profile": "physical", "envelope": "gone-1", "model": 0}
    kind = JOB_TYPES["forward"]
    with pytest.raises(BadRequestError, match="there is no envelope gone-1 any more"):
        kind.run_chunk(kind.plan(config, orchestrator), orchestrator)
