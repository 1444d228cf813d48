"""The command that fetches cycles: what its words mean, its exit codes, one instance at a time, and its schedule."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import sharedfiles
from forecasts import assembly, noaa
from forecasts.ingest import Decoders
from scripts import auto_downloader
from scripts.auto_downloader import DONE, FAILED, LOCKED, NOT_COMPLETE, USAGE
from store.bucket import LocalBucket
from store.manifest import cycle_start, read_manifest
from tests import noaa_server
from tests.noaa_server import CYCLE, SMALL_CLASSIC, SMALL_FULL, Archive, NoaaServer
from tests.worlds import make_bucket, sample, uniform

RUN = int(cycle_start(CYCLE))
ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.usefixtures("log_as_before")


@pytest.fixture(scope="module")
def encoded() -> Archive:
    return Archive()


@pytest.fixture
def server(encoded: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NoaaServer]:
    """A stand-in that the settings name, small products, and no other processes."""
    files = dict(encoded.files)
    with NoaaServer(files.get) as running:
        running.files = files
        for name in ("S3_BUCKET_NAME", "HABSIM_BUCKET_DIR", "HABSIM_NOAA_SOURCE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HABSIM_NOAA_URL", running.base)
        monkeypatch.setenv("HABSIM_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setitem(noaa.PRODUCTS, "classic", SMALL_CLASSIC)
        monkeypatch.setitem(noaa.PRODUCTS, "full", SMALL_FULL)
        monkeypatch.setattr(noaa, "FULL", SMALL_FULL)
        monkeypatch.setattr(Decoders, "_decode", lambda self, job: assembly.decode_step(job))
        yield running


def run(tmp_path: Path, *words: str, hours: float = 6.0) -> int:
    """The command, `hours` after the start of the small cycle, with a bucket and a work folder in `tmp_path`."""
    folders = ["--store", str(tmp_path / "bucket"), "--work", str(tmp_path / "work")]
    try:
        return auto_downloader.main([*folders, *words], clock=lambda: RUN + hours * 3600)
    except SystemExit as exited:
        return int(exited.code or 0)


def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "bucket")


# --- What it publishes


def test_the_newest_complete_cycle_is_published(server: NoaaServer, tmp_path: Path) -> None:
    assert run(tmp_path, "--members", "0-2", hours=13) == DONE
    manifest = read_manifest(bucket(tmp_path), CYCLE)
    assert (manifest.product, [m.member for m in manifest.members]) == ("classic", [0, 1, 2])
    assert bucket(tmp_path).read("whichgefs").decode() == CYCLE


def test_words_choose_cycle_product_members_and_hours(server: NoaaServer, tmp_path: Path) -> None:
    words = ["--cycle", CYCLE, "--product", "full", "--members", "2,0", "--max-hours", "5"]
    assert run(tmp_path, *words, hours=1000) == DONE
    manifest = read_manifest(bucket(tmp_path), CYCLE)
    assert (manifest.product, [m.member for m in manifest.members]) == ("full", [0, 2])
    assert {m.shape for m in manifest.members} == {(13, 25, 6, 2, 2)}


def test_what_is_published_is_left_alone(server: NoaaServer, tmp_path: Path) -> None:
    assert run(tmp_path, "--members", "0") == DONE
    before = bucket(tmp_path).list()
    server.asked.clear()
    assert run(tmp_path, "--members", "0") == DONE
    assert run(tmp_path, "--members", "0", "--cycle", CYCLE) == DONE
    assert bucket(tmp_path).list() == before
    assert [asked for asked in server.asked if asked.status == 200] == []


def test_the_bucket_of_the_settings_is_the_default(server: NoaaServer, tmp_path: Path) -> None:
    assert auto_downloader.main(["--members", "0"], clock=lambda: RUN + 3600.0) == DONE
    assert read_manifest(LocalBucket(tmp_path / "data" / "bucket"), CYCLE).members[0].member == 0
    assert (tmp_path / "data" / "downloader" / "lock").exists()


def test_older_cycles_are_removed_after_publishing(server: NoaaServer, tmp_path: Path) -> None:
    for day in (20, 21, 22):
        winds = sample(uniform(1, 1), degrees=30, start=cycle_start(f"202607{day}00"))
        make_bucket(tmp_path / "bucket", members=1, cycle=f"202607{day}00", field=winds)
    assert run(tmp_path, "--members", "0", "--keep", "2") == DONE
    names = [name for name in bucket(tmp_path).list() if name.endswith(".json")]
    assert names == ["2026072200.json", f"{CYCLE}.json"]


def test_work_on_other_cycles_is_removed(server: NoaaServer, tmp_path: Path) -> None:
    left = tmp_path / "work" / "2026072318-full-0123456789ab" / "00"
    left.mkdir(parents=True)
    (left / "step_000.winds").write_bytes(b"part")
    assert run(tmp_path, "--members", "0") == DONE
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["lock"]


# --- Exit codes


def test_no_complete_cycle_yet_is_3(server: NoaaServer, tmp_path: Path) -> None:
    del server.files[noaa_server.path("pgrb2b", 1, 6) + ".idx"]
    assert run(tmp_path, "--members", "0-1") == NOT_COMPLETE
    assert run(tmp_path, "--members", "0-1", "--cycle", CYCLE) == NOT_COMPLETE
    assert bucket(tmp_path).list() == {}
    assert run(tmp_path, "--members", "0") == DONE


def test_a_failure_is_1_and_says_why(server: NoaaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del server.files[noaa_server.path("pgrb2b", 0, 0)]
    assert run(tmp_path, "--members", "0") == FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"ERROR .*gec00\.t00z\.pgrb2b\.0p50\.f000 is not there", last)


def test_a_work_folder_that_cannot_be_made_is_1(server: NoaaServer, tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file")
    assert run(tmp_path, "--members", "0") == FAILED


WRONG = [
    (["--members", "0-31"], "'0-31' names no members"),
    (["--members", "5-3"], "'5-3' names no members"),
    (["--members", ""], "'' names no members"),
    (["--cycle", "2026072403"], "is not a cycle"),
    (["--cycle", "2026073200"], "is not a cycle"),
    (["--product", "fine"], "invalid choice: 'fine'"),
    (["--max-hours", "5"], "5 hours are too short, classic needs at least 6"),
    (["--max-hours", "0"], "'0' must be a whole number from 1"),
    (["--keep", "0"], "'0' must be a whole number from 1"),
    (["--mode", "daemon", "--cycle", CYCLE], "--mode daemon goes with neither --cycle nor --canary"),
    (["--mode", "daemon", "--canary"], "--mode daemon goes with neither --cycle nor --canary"),
    (["--store", "s3"], "--store s3 needs S3_BUCKET_NAME"),
]


@pytest.mark.parametrize(("words", "reason"), WRONG)
def test_wrong_words_are_2(
    server: NoaaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    assert run(tmp_path, *words) == USAGE
    assert reason in capsys.readouterr().err
    assert server.asked == []


def test_wrong_settings_are_2(
    server: NoaaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HABSIM_NOAA_SOURCE", "ecmwf")
    assert run(tmp_path) == USAGE
    assert "HABSIM_NOAA_SOURCE: Input should be 'aws' or 'nomads'" in capsys.readouterr().err


def test_a_second_instance_is_4(server: NoaaServer, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    lock = sharedfiles.try_lock(tmp_path / "work" / "lock")
    assert lock is not None
    try:
        assert run(tmp_path, "--members", "0") == LOCKED
    finally:
        os.close(lock)
    assert server.asked == []
    assert run(tmp_path, "--members", "0") == DONE


def test_the_exit_codes_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        auto_downloader.main(["--help"])
    text = capsys.readouterr().out
    for code in (DONE, FAILED, USAGE, NOT_COMPLETE, LOCKED):
        assert re.search(rf"^    {code}  ", text, flags=re.MULTILINE)


# --- Canary, reports


def test_the_canary_prints_a_line_for_each_kind_of_file(
    server: NoaaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--canary") == DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "ok aws pgrb2a: UGRD at 400 hPa",
        "ok aws pgrb2b: UGRD at 650 hPa",
    ]
    assert bucket(tmp_path).list() == {}


def test_a_canary_that_finds_another_grid_is_1(
    server: NoaaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = noaa_server.parts_of("pgrb2b", 0, 3, rows=7, columns=12)
    name = noaa_server.path("pgrb2b", 0, 3)
    server.files[name] = b"".join(content for _, content in parts)
    server.files[name + ".idx"] = noaa_server.inventory(parts)
    assert run(tmp_path, "--canary", "--cycle", CYCLE) == FAILED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok aws pgrb2a")
    assert lines[1].startswith("failed aws pgrb2b: ")
    assert lines[1].endswith("is in m s**-1 on 7 x 12 points")


def test_without_a_cycle_the_canary_is_3(server: NoaaServer, tmp_path: Path) -> None:
    assert run(tmp_path, "--canary", hours=-1) == NOT_COMPLETE


def test_the_log_has_a_line_for_each_step(
    server: NoaaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "--members", "0-1")
    found = re.findall(r"INFO member (\d) step (\d) h: 4 messages, 0\.0 MB in ", capsys.readouterr().err)
    assert sorted(found) == [("0", "0"), ("0", "6"), ("1", "0"), ("1", "6")]


def test_a_terminal_gets_a_bar(
    server: NoaaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(tmp_path, "--members", "0") == DONE
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "━━━" in text
    assert "2/2" in text
    assert "step 6 h" not in text


# --- The daemon


def test_a_daemon_looks_again_and_stops_when_asked_to(
    server: NoaaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First there is nothing, then the cycle; after the next look it gets SIGTERM."""
    index = server.files.pop(noaa_server.path("pgrb2b", 0, 6) + ".idx")
    waits: list[float] = []

    def wait(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout and timeout >= 60:
            waits.append(timeout)
            server.files[noaa_server.path("pgrb2b", 0, 6) + ".idx"] = index
            if len(waits) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
        return event.is_set()

    monkeypatch.setattr(threading.Event, "wait", wait)
    before = signal.getsignal(signal.SIGTERM)
    assert run(tmp_path, "--mode", "daemon", "--members", "0", "--poll-minutes", "7") == DONE
    assert waits == [420.0] * 3
    assert read_manifest(bucket(tmp_path), CYCLE).product == "classic"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_daemon_survives_a_failure(
    server: NoaaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = server.files.pop(noaa_server.path("pgrb2b", 0, 0))

    def wait(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout and timeout >= 60:
            if bucket(tmp_path).list():
                event.set()
            server.files[noaa_server.path("pgrb2b", 0, 0)] = lost
        return event.is_set()

    monkeypatch.setattr(threading.Event, "wait", wait)
    assert run(tmp_path, "--mode", "daemon", "--members", "0") == DONE
    assert "f000 is not there" in capsys.readouterr().err
    assert bucket(tmp_path).read("whichgefs").decode() == CYCLE


STOPPED = """
import sys
from forecasts import noaa
from scripts import auto_downloader
from tests.noaa_server import SMALL_FULL
if __name__ == "__main__":
    noaa.PRODUCTS["full"] = SMALL_FULL
    sys.exit(auto_downloader.main(sys.argv[1:]))
"""


def test_a_run_that_is_asked_to_stop_keeps_what_is_finished(server: NoaaServer, tmp_path: Path) -> None:
    server.fault("silent", r"f006\.idx", times=100, seconds=8, ranges=False)
    words = ["--cycle", CYCLE, "--product", "full", "--members", "0", "--work", str(tmp_path / "work")]
    words += ["--store", str(tmp_path / "bucket")]
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, *words], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("work/*/00/step_*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == FAILED
    assert "WARNING stopped; what is finished is kept" in errors.splitlines()[-1]
    assert len(list(tmp_path.glob("work/*/00/step_*"))) == 2
    server.faults.clear()
    server.asked.clear()
    assert run(tmp_path, "--cycle", CYCLE, "--product", "full", "--members", "0") == DONE
    assert {asked.path[-4:] for asked in server.asked if asked.range} == {"f006"}


# --- The schedule


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    found = yaml.safe_load((ROOT / ".github/workflows/gefs-downloader.yml").read_text())
    assert isinstance(found, dict)
    return found


def test_the_workflow_runs_every_six_hours_when_a_cycle_is_complete(workflow: dict[Any, Any]) -> None:
    (schedule,) = workflow[True]["schedule"]  # YAML 1.1 reads the key `on` as true
    minute, hours, *rest = schedule["cron"].split()
    assert rest == ["*", "*", "*"]
    after = [(int(hour) + int(minute) / 60) % 6 for hour in hours.split(",")]
    assert len(after) == 4
    assert all(5 <= wait <= 6 for wait in after)


def test_the_workflow_never_runs_twice_at_once_nor_for_ever(workflow: dict[Any, Any]) -> None:
    assert workflow["concurrency"] == {"group": "gefs-downloader", "cancel-in-progress": False}
    assert workflow["jobs"]["download"]["timeout-minutes"] < 360
    assert workflow["permissions"] == {"contents": "read"}


def test_the_workflow_calls_the_command_with_words_that_it_knows(workflow: dict[Any, Any]) -> None:
    steps = workflow["jobs"]["download"]["steps"]
    script = "\n".join(step.get("run", "") for step in steps)
    assert "python -m scripts.auto_downloader" in script
    known = set(re.findall(r"--[a-z-]+", auto_downloader._parser().format_help()))
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", script)) <= known
    inputs = workflow[True]["workflow_dispatch"]["inputs"]
    assert set(inputs["product"]["options"]) == set(noaa.PRODUCTS)
    assert inputs["members"]["default"] == "0-20"
    assert "${{" not in script  # nobody's input becomes part of a script


def test_the_workflow_gives_the_settings_of_the_store_from_secrets(workflow: dict[Any, Any]) -> None:
    environment = workflow["jobs"]["download"]["env"]
    for name in ("S3_BUCKET_NAME", "S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        assert environment[name] == f"${{{{ secrets.{name} }}}}"


def test_the_workflow_installs_what_is_pinned(workflow: dict[Any, Any]) -> None:
    script = "\n".join(step.get("run", "") for step in workflow["jobs"]["download"]["steps"])
    for name in re.findall(r"-r (\S+)", script):
        assert (ROOT / name).exists()
