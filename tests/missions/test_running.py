"""Jobs as a worker runs them: chunks, failures, cancelling, and results that cannot be written."""

from __future__ import annotations

import errno
import gzip
import json
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from missions.accounts import Viewer
from missions.cluster import LocalCores, orchestrator_for
from missions.jobs import Queue
from missions.jobtypes import JOB_TYPES
from missions.opening import Missions, open_missions
from missions.results import Results
from missions.running import Runner, Running
from missions.simulations import NewSimulation
from settings import Settings
from store.publish import publish
from tests.faults import full_disk, wait_until
from tests.missions.backends import CONFIG, SECRET, signed_in
from tests.missions.jobs_for_tests import TYPES
from tests.worlds import CYCLE, START, make_bucket, make_settings, sample, uniform, write_field


@pytest.fixture(autouse=True)
def sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOB_TYPES, "reverse", TYPES["reverse"])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_bucket(tmp_path / "bucket", members=2)
    return make_settings(tmp_path, bucket_folder=tmp_path / "bucket", job_lease_seconds=5.0)


@pytest.fixture
def missions(settings: Settings) -> Iterator[Missions]:
    opened = open_missions(settings, SECRET)
    yield opened
    opened.database.close()


@pytest.fixture
def ann(missions: Missions) -> Viewer:
    return signed_in(missions, "ann")


@pytest.fixture
def queue(missions: Missions, settings: Settings) -> Queue:
    return Queue(missions.database, settings, "one")


@pytest.fixture
def runner(missions: Missions, settings: Settings, queue: Queue) -> Runner:
    orchestrator = orchestrator_for(settings)
    return Runner(queue, missions.results, TYPES, orchestrator, LocalCores(orchestrator))


def submit(missions: Missions, viewer: Viewer, kind: str = "reverse", **config: Any) -> uuid.UUID:
    values = {**CONFIG, **config} if kind != "reverse" else {"chunks": 4, **config}
    return missions.simulations.submit(viewer, NewSimulation(kind, values)).id


def run_next(missions: Missions, queue: Queue, runner: Runner, lane: str = "reverse") -> Running:
    with missions.database.writing() as session:
        session.execute(text("UPDATE simulations SET ready = 1"))
    job = queue.claim(lane)
    assert job is not None
    running = Running(job, threading.Event())
    runner.run(running)
    return running


def result(missions: Missions, viewer: Viewer, simulation_id: uuid.UUID) -> Any:
    return json.loads(gzip.decompress(missions.simulations.result(viewer, simulation_id)))


def noted(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_chunks_become_one_result_in_their_order(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, tmp_path: Path
) -> None:
    simulation_id = submit(missions, ann, chunks=20, notes=str(tmp_path / "notes"))
    run_next(missions, queue, runner)
    assert result(missions, ann, simulation_id)["sums"] == list(range(20))
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.progress, row.provenance) == ("completed", 100.0, {"cycle": CYCLE})
    assert sorted(noted(tmp_path / "notes")) == list(range(20))


def test_progress_grows_with_the_chunks(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    keep = Queue.keep_chunk

    def noticed(self: Queue, *arguments: Any) -> None:
        seen.append(arguments[-1])
        keep(self, *arguments)

    monkeypatch.setattr(Queue, "keep_chunk", noticed)
    submit(missions, ann, chunks=4)
    run_next(missions, queue, runner)
    assert seen == [20.0, 40.0, 60.0, 80.0]


def test_a_bug_fails_the_job_and_tells_the_user_no_secrets(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    simulation_id = submit(missions, ann, wrong="bug")
    run_next(missions, queue, runner)
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.error) == ("failed", f"internal error; the log has it under job {simulation_id}")
    assert "what nobody thought of" in caplog.text
    assert str(simulation_id) in caplog.text


def test_what_cannot_be_done_fails_at_once(missions: Missions, ann: Viewer, queue: Queue, runner: Runner) -> None:
    simulation_id = submit(missions, ann, wrong="final")
    run_next(missions, queue, runner)
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.error, row.attempts) == ("failed", "it cannot be done", 1)


def test_what_passes_is_tried_again_without_the_chunks_that_are_kept(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, tmp_path: Path
) -> None:
    until, notes = tmp_path / "up", tmp_path / "notes"
    simulation_id = submit(missions, ann, wrong="passing", until=str(until), chunks=3, notes=str(notes))
    run_next(missions, queue, runner)
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.error) == ("pending", "the store is down")
    until.touch()
    notes.unlink()
    run_next(missions, queue, runner)
    assert sorted(noted(notes)) == [0, 1, 2]
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.error, row.attempts) == ("completed", None, 1)


def test_a_store_that_is_down_for_long_fails_nothing(
    missions: Missions, settings: Settings, ann: Viewer, queue: Queue, runner: Runner, tmp_path: Path
) -> None:
    until = tmp_path / "up"
    simulation_id = submit(missions, ann, wrong="passing", until=str(until))
    for _ in range(2 * settings.job_attempts):
        run_next(missions, queue, runner)
        assert missions.simulations.get(ann, simulation_id).status == "pending"
    until.touch()
    run_next(missions, queue, runner)
    assert missions.simulations.get(ann, simulation_id).status == "completed"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"wrong": "damaged"}, "the wind file is damaged"),
        ({"wrong": "disk", "errno": errno.EIO}, f"[Errno {errno.EIO}] {os.strerror(errno.EIO)}"),
    ],
    ids=["damaged", "unreadable"],
)
def test_what_seldom_passes_is_tried_some_times(
    missions: Missions,
    settings: Settings,
    ann: Viewer,
    queue: Queue,
    runner: Runner,
    config: dict[str, Any],
    reason: str,
) -> None:
    simulation_id = submit(missions, ann, **config)
    for attempt in range(1, settings.job_attempts):
        run_next(missions, queue, runner)
        row = missions.simulations.get(ann, simulation_id)
        assert (row.status, row.error, row.attempts) == ("pending", reason, attempt)
    run_next(missions, queue, runner)
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.error) == ("failed", f"{reason} (tried {settings.job_attempts} times)")


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_fails_nothing(
    missions: Missions, settings: Settings, ann: Viewer, queue: Queue, runner: Runner, full: int
) -> None:
    simulation_id = submit(missions, ann, wrong="disk", errno=full)
    for _ in range(2 * settings.job_attempts):
        run_next(missions, queue, runner)
        row = missions.simulations.get(ann, simulation_id)
        assert (row.status, row.attempts) == ("pending", 0)


def test_a_chunk_that_hangs_does_not_keep_its_lane(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = tmp_path / "on"
    simulation_id = submit(missions, ann, wrong="hanging", until=str(until), chunks=3)
    with monkeypatch.context() as patch:
        patch.setattr("missions.running._LONGEST_STILL_SECONDS", 0.5)
        run_next(missions, queue, runner)
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.error) == ("pending", "no chunk has finished in 0.5 s")
    until.touch()
    run_next(missions, queue, runner)
    assert result(missions, ann, simulation_id)["sums"] == [0, 1, 2]


def test_a_launch_outside_the_cycle_fails_with_the_reason(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner
) -> None:
    simulation_id = submit(missions, ann, "forward", timestamp=START + 30 * 86400)
    run_next(missions, queue, runner, "forward")
    row = missions.simulations.get(ann, simulation_id)
    assert row.status == "failed"
    assert row.error is not None
    assert CYCLE in row.error or "2026-11-" in row.error


def test_a_worker_that_ends_keeps_what_runs_and_lets_go(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    simulation_id = submit(missions, ann, chunks=40, seconds=0.05, notes=str(notes))
    job = queue.claim("reverse")
    assert job is not None
    running = Running(job, threading.Event())
    thread = threading.Thread(target=runner.run, args=(running,))
    thread.start()
    wait_until(lambda: noted(notes), "a chunk has begun")
    running.stopping.set()
    thread.join()
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.attempts, row.worker) == ("pending", 0, None)
    assert len(queue.kept_chunks(job)) == len(noted(notes)) < 40
    run_next(missions, queue, runner)
    assert sorted(noted(notes)) == list(range(40))  # none was lost, and none computed twice
    assert result(missions, ann, simulation_id)["sums"] == list(range(40))


def test_a_cancelled_job_stops_and_leaves_nothing(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    simulation_id = submit(missions, ann, chunks=200, seconds=0.02, notes=str(notes))
    job = queue.claim("reverse")
    assert job is not None
    thread = threading.Thread(target=runner.run, args=(Running(job, threading.Event()),))
    thread.start()
    wait_until(lambda: noted(notes), "a chunk has begun")
    missions.simulations.cancel(ann, simulation_id)
    thread.join()
    assert missions.simulations.get(ann, simulation_id).status == "cancelled"
    assert queue.kept_chunks(job) == {}
    assert len(noted(notes)) < 200


def test_a_cycle_that_is_published_anew_makes_the_job_begin_anew(
    missions: Missions, ann: Viewer, queue: Queue, runner: Runner, tmp_path: Path
) -> None:
    """No result mixes two: chunks that are kept go, and the plan with them."""
    simulation_id = submit(missions, ann, chunks=3)
    job = queue.claim("reverse")
    assert job is not None
    orchestrator = runner._orchestrator
    plan = TYPES["reverse"].plan(job.config, orchestrator)
    queue.save_plan(job, plan)
    queue.keep_chunk(job, 0, b"of the winds before", 1.0, 10.0)
    queue.release(job)
    new = write_field(tmp_path / "new.npz", sample(uniform(1.0, 2.0), start=START, degrees=10.0))
    publish(orchestrator.cycles.bucket, CYCLE, {0: new}, "test")
    orchestrator.cycles.refresh()
    run_next(missions, queue, runner)
    row = missions.simulations.get(ann, simulation_id)
    assert (row.status, row.plan) == ("pending", None)
    assert row.error is not None
    assert "published anew" in row.error
    run_next(missions, queue, runner)
    assert result(missions, ann, simulation_id)["sums"] == [0, 1, 2]


class TestForwardAndEnsemble:
    def test_a_flight_that_is_tried_again_stays_on_its_cycle(
        self,
        missions: Missions,
        ann: Viewer,
        queue: Queue,
        runner: Runner,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        simulation_id = submit(missions, ann, "forward")
        with monkeypatch.context() as patch:
            patch.setattr(Results, "keep", full_disk)
            run_next(missions, queue, runner, "forward")
        assert missions.simulations.get(ann, simulation_id).status == "pending"
        cycles, later = runner._orchestrator.cycles, "2026111906"
        field = sample(uniform(1.0, 2.0), start=START + 6 * 3600, degrees=10.0)
        publish(cycles.bucket, later, {0: write_field(tmp_path / "later.npz", field)}, "test")
        cycles.refresh()
        assert cycles.current().name == later
        run_next(missions, queue, runner, "forward")
        assert result(missions, ann, simulation_id)["provenance"]["cycle"] == CYCLE

    def test_the_result_is_that_of_the_orchestrator(
        self, missions: Missions, ann: Viewer, queue: Queue, runner: Runner
    ) -> None:
        simulation_id = submit(missions, ann, "forward", model=1)
        run_next(missions, queue, runner, "forward")
        found = result(missions, ann, simulation_id)
        assert found["provenance"]["cycle"] == CYCLE
        assert found["provenance"]["members"] == [1]
        last = found["path"][2][-1]
        assert [found["landing"][name] for name in ("timestamp", "lat", "lon", "alt")] == last[:4]
        assert last[4:6] == [11.0, 5.0]  # the wind of member 1

    def test_the_same_ensemble_gives_the_same_bytes(
        self, missions: Missions, ann: Viewer, queue: Queue, runner: Runner
    ) -> None:
        ids = [submit(missions, ann, "ensemble", num_perturbations=3) for _ in range(2)]
        for _ in ids:
            run_next(missions, queue, runner, "forward")
        first, second = (missions.simulations.result(ann, simulation_id) for simulation_id in ids)
        assert first == second
        content = json.loads(gzip.decompress(first))
        assert len(content["heatmap_data"]) == 2 * 4
        assert content["seed"] == missions.simulations.get(ann, ids[0]).config["seed"]


class TestFullDisk:
    def test_a_large_result_waits_until_there_is_room(
        self,
        missions: Missions,
        settings: Settings,
        ann: Viewer,
        queue: Queue,
        runner: Runner,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        simulation_id = submit(missions, ann, chunks=3, padding=400_000)
        with monkeypatch.context() as patch:
            patch.setattr("sharedfiles.write_atomically", full_disk)
            for _ in range(2 * settings.job_attempts):
                run_next(missions, queue, runner)
        row = missions.simulations.get(ann, simulation_id)
        assert row.status == "pending"
        assert row.error is not None
        assert "the disk is full" in row.error
        with missions.database.reading() as session:
            assert session.execute(text("SELECT count(*) FROM chunks")).scalar_one() == 3
        run_next(missions, queue, runner)
        assert missions.simulations.get(ann, simulation_id).result_reference is not None
        assert result(missions, ann, simulation_id)["sums"] == [0, 1, 2]

    def test_a_result_that_lost_its_job_is_removed(
        self, missions: Missions, ann: Viewer, queue: Queue, runner: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulation_id = submit(missions, ann, chunks=2, padding=400_000)
        keep = Results.keep

        def cancelled_meanwhile(self: Results, *arguments: Any) -> Any:
            kept = keep(self, *arguments)
            missions.simulations.cancel(ann, simulation_id)
            return kept

        monkeypatch.setattr(Results, "keep", cancelled_meanwhile)
        run_next(missions, queue, runner)
        assert missions.simulations.get(ann, simulation_id).status == "cancelled"
        assert not list(missions.results._folder.iterdir())
