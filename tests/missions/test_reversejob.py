"""Searches as jobs: their chunks travel, are kept, and are never flown twice."""

from __future__ import annotations

import contextlib
import gzip
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import text

from habsim.errors import BadRequestError, CycleChangedError
from habsim.reverse import Chunk, chunks, fly_chunk
from habsim.reverse import plan as plans
from missions.accounts import NewAccount, Viewer
from missions.cluster import LocalCores, orchestrator_for
from missions.jobs import Queue
from missions.jobtypes import JOB_TYPES
from missions.opening import Missions, open_missions
from missions.reversejob import Reverse, packed, unpacked
from missions.running import Runner, Running
from missions.searches import search_of
from missions.simulations import NewSimulation
from settings import Settings
from simulate import Orchestrator
from store.publish import publish
from tests.searching import ranked, search
from tests.worlds import CYCLE, START, make_bucket, make_settings, sample, uniform, write_field

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = {
    "target": {"lat": 45.0, "lon": 1.0, "radius": 15000.0},
    "area": {"lat": 45.0, "lon": 0.5, "radius": 60000.0, "spacing": 10000.0, "shape": "circle"},
    "mission": "launch_window",
    "hit": "land",
    "window": {"from": "2026-11-19T00:00:00Z", "to": "2026-11-19T12:00:00Z", "step_hours": 1.0},
    "balloons": [{"name": "20 km", "asc": 5.0, "desc": 8.0, "equil": 20000.0, "eqtime": 0.0}],
    "members": "all",
    "refine": True,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_bucket(tmp_path / "bucket")
    return make_settings(tmp_path, bucket_folder=tmp_path / "bucket", job_lease_seconds=2.0)


@pytest.fixture
def orchestrator(settings: Settings) -> Orchestrator:
    return orchestrator_for(settings)


@pytest.fixture
def missions(settings: Settings) -> Iterator[Missions]:
    opened = open_missions(settings, "a secret of the tests, of more than 32 bytes")
    yield opened
    opened.database.close()


@pytest.fixture
def ann(missions: Missions) -> Viewer:
    missions.accounts.register(NewAccount("ann", "ann@example.org", "up-and-away"))
    return missions.accounts.login("ann", "up-and-away", "192.0.2.1")[0]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_CHUNK_FLIGHTS", 100)


def submit(missions: Missions, viewer: Viewer, **changes: Any) -> uuid.UUID:
    return missions.simulations.submit(viewer, NewSimulation("reverse", {**CONFIG, **changes})).id


def run_next(missions: Missions, settings: Settings, orchestrator: Orchestrator, stopping: threading.Event) -> None:
    """Another worker takes the next search and runs it."""
    with missions.database.writing() as session:
        session.execute(text("UPDATE simulations SET ready = 1, lease_until = 1 WHERE status = 'processing'"))
    queue = Queue(missions.database, settings, f"worker {uuid.uuid4()}")
    queue.recover()
    job = queue.claim("reverse")
    assert job is not None
    Runner(queue, missions.results, JOB_TYPES, orchestrator, LocalCores(orchestrator)).run(Running(job, stopping))


def content(missions: Missions, viewer: Viewer, simulation_id: uuid.UUID) -> Any:
    return orjson.loads(gzip.decompress(missions.simulations.result(viewer, simulation_id)))


# --- Plan and chunks


def test_a_plan_fixes_cycle_and_members(orchestrator: Orchestrator) -> None:
    plan = Reverse().plan(CONFIG, orchestrator)
    assert (plan["cycle"], plan["members"], plan["failed_members"]) == (CYCLE, [0, 1, 2], [])
    assert plan["cycle_version"] == orchestrator.cycles.current().version
    assert orjson.loads(orjson.dumps(plan)) == plan
    again = Reverse().plan(plan, orchestrator)
    assert again["members"] == plan["members"]


def test_the_same_plan_has_the_same_chunks(orchestrator: Orchestrator, small_chunks: None) -> None:
    plan = Reverse().plan(CONFIG, orchestrator)
    one, other = Reverse().chunks(plan), Reverse().chunks(orjson.loads(orjson.dumps(plan)))
    assert list(one) == list(other)
    assert len(one) > 30
    assert [part.chunk.index for part in one] == list(range(len(one)))


def test_chunks_travel_without_winds(orchestrator: Orchestrator) -> None:
    """However many places they have: a chunk names its winds, and makes its places where it is flown."""
    plan = Reverse().plan({**CONFIG, "area": {**CONFIG["area"], "spacing": 500.0}}, orchestrator)
    specs = list(Reverse().chunks(plan))
    assert len(specs) > 50
    sent = [pickle.dumps(spec) for spec in specs[:2]]
    assert all(len(each) < 10_000 for each in sent)
    for spec, each in zip(specs, sent, strict=False):
        assert Reverse().run_chunk(pickle.loads(each), orchestrator) == Reverse().run_chunk(spec, orchestrator)


def test_a_result_is_what_it_was_after_packing(orchestrator: Orchestrator, small_chunks: None) -> None:
    plan = Reverse().plan(CONFIG, orchestrator)
    cycle = orchestrator.cycles.current()
    simulators = {member: orchestrator.simulator(cycle, member) for member in plan["members"]}
    for spec in list(Reverse().chunks(plan))[::7]:
        result = fly_chunk(simulators, spec.chunk)
        again = unpacked(packed(result))
        assert (again.index, again.flights) == (result.index, result.flights)
        assert again.cells.dtype == result.cells.dtype
        assert again.cells.tobytes() == result.cells.tobytes()
        np.testing.assert_array_equal(again.lost, result.lost)


def test_a_job_finds_what_a_search_finds(
    missions: Missions, settings: Settings, orchestrator: Orchestrator, ann: Viewer, small_chunks: None
) -> None:
    simulation_id = submit(missions, ann)
    run_next(missions, settings, orchestrator, threading.Event())
    found = content(missions, ann, simulation_id)
    cycle = orchestrator.cycles.current()
    simulators = {member: orchestrator.simulator(cycle, member) for member in cycle.members}
    whole = search(search_of(CONFIG), simulators)
    columns = found["table"]["columns"]
    best = ranked(whole, found["table"]["ranked"])
    assert len(best) == found["table"]["ranked"] > 100
    for name in ("time", "latitude", "longitude", "probability", "hits", "member", "hit_altitude"):
        assert columns[name][: len(best)] == pytest.approx([getattr(each, name) for each in best], abs=0.05)
    assert found["flights"]["hits"] == int(whole.cells["hits"].sum())
    assert [each["places"] for each in found["launch_times"]] == [each.places for each in whole.launch_times()]


def test_too_large_is_refused_when_it_is_submitted(missions: Missions, ann: Viewer) -> None:
    area = {**CONFIG["area"], "radius": 2e6, "spacing": 10.0, "shape": "square"}
    with pytest.raises(BadRequestError, match=r"1,920,\d{3},\d{3},\d{3} flights .* the limit is 10,000,000"):
        submit(missions, ann, area=area)


def test_a_cycle_published_anew_is_told(orchestrator: Orchestrator, tmp_path: Path) -> None:
    plan = Reverse().plan(CONFIG, orchestrator)
    spec = Reverse().chunks(plan)[0]
    anew = write_field(tmp_path / f"{CYCLE}_00.npz", sample(uniform(1.0, 1.0), start=START))
    publish(orchestrator.cycles.bucket, CYCLE, {0: anew}, "test")
    with pytest.raises(CycleChangedError, match="published anew"):
        Reverse().run_chunk(spec, orchestrator)


# --- Interrupted


@pytest.mark.usefixtures("small_chunks")
def test_a_search_that_was_stopped_goes_on_without_flying_a_chunk_again(
    missions: Missions, settings: Settings, orchestrator: Orchestrator, ann: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two workers are stopped after some chunks each; all chunks together are flown once."""
    flown: list[int] = []
    stopping = threading.Event()
    wanted = [10]

    def noted(simulators: Any, chunk: Chunk) -> Any:
        flown.append(chunk.index)
        if len(flown) >= wanted[0]:
            stopping.set()
        return fly_chunk(simulators, chunk)

    monkeypatch.setattr("missions.reversejob.fly_chunk", noted)
    simulation_id = submit(missions, ann)
    for count in (10, 25, 10_000):
        wanted[0] = count  # a search of 72 chunks
        stopping.clear()
        run_next(missions, settings, orchestrator, stopping)
        row = missions.simulations.get(ann, simulation_id)
        assert (row.status, row.attempts) == (("pending", 0) if count < 10_000 else ("completed", 1))
        if count < 10_000:
            assert count <= len(flown) < count + 4
            assert row.progress > 0.0
    total = len(list(chunks(search_of(CONFIG), range(3))))
    assert sorted(flown) == list(range(total))
    monkeypatch.setattr("missions.reversejob.fly_chunk", fly_chunk)
    other = submit(missions, ann)
    run_next(missions, settings, orchestrator, threading.Event())
    assert content(missions, ann, simulation_id) == content(missions, ann, other)


def test_a_killed_worker_loses_the_chunks_under_way_alone(
    missions: Missions, settings: Settings, ann: Viewer, tmp_path: Path, small_chunks: None
) -> None:
    """Real workers, two killed after some chunks: what was kept by then is never flown again."""
    notes = tmp_path / "flown"
    simulation_id = submit(missions, ann)
    for wanted in (6, 14, None):
        before, started_with = _kept(missions), len(_flown(notes))
        with _worker(settings, notes) as process:
            deadline = time.monotonic() + 120.0
            while wanted is None or len(_kept(missions)) < wanted:
                if missions.simulations.get(ann, simulation_id).status == "completed":
                    break
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.01)
        assert not before & set(_flown(notes)[started_with:])
        assert wanted is None or len(_kept(missions)) >= wanted
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.fence, row.attempts) == ("completed", 3, 1)  # claimed three times, each came further
    total = len(list(chunks(search_of(CONFIG), range(3))))
    flown = _flown(notes)
    assert set(flown) == set(range(total))
    # Under way at once: one for each core, and one that was finished but not yet kept.
    assert len(flown) <= total + 2 * ((os.cpu_count() or 1) + 1)


@contextlib.contextmanager
def _worker(settings: Settings, notes: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of its own, killed when the block ends."""
    environment = {
        **os.environ,
        "HABSIM_DATA_DIR": str(settings.data_dir),
        "HABSIM_BUCKET_DIR": str(settings.bucket_folder),
        "HABSIM_ELEVATION": str(settings.elevation),
        "HABSIM_JOB_LEASE": "2",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.missions.noting_worker", str(notes)], cwd=ROOT, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _flown(notes: Path) -> list[int]:
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []


def _kept(missions: Missions) -> set[int]:
    with missions.database.reading() as session:
        return {row[0] for row in session.execute(text("SELECT number FROM chunks"))}
