"""Files that several processes share are seen whole, and locks outlive nobody."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sharedfiles
from tests import faults

LONG = faults.DEADLINE_SECONDS

HOLD = """
import sys, time, sharedfiles
from pathlib import Path
kind, *paths = sys.argv[1:]
paths = [Path(path) for path in paths]
lock = sharedfiles.exclusive(paths[0], 60) if kind == "exclusive" else sharedfiles.first_free(paths, 60)
with lock as held:
    print(held, flush=True)
    time.sleep(600)
"""


def entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# --- Atomic writes


@pytest.mark.parametrize("durable", [True, False])
def test_written_file_replaces_the_old_one(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "state.json"
    for content in (b"first", b"", b"a longer second"):
        sharedfiles.write_atomically(path, content, durable=durable)
        assert path.read_bytes() == content
    assert entries(tmp_path) == ["state.json"]


@pytest.mark.parametrize("durable", [True, False])
def test_readers_in_other_processes_never_see_a_part(tmp_path: Path, durable: bool) -> None:
    """A writer replaces 1 MB of one letter by 1 MB of the next; who reads must see one letter alone."""
    path = tmp_path / "letters"
    write = """
import itertools, sys, sharedfiles
from pathlib import Path
for letter in itertools.cycle(b"abcdef"):
    sharedfiles.write_atomically(Path(sys.argv[1]), bytes([letter]) * 1_000_000, durable=sys.argv[2] == "True")
"""
    seen: list[bytes] = []
    with faults.Process(write, path, durable):
        faults.wait_until(path.exists, "the first write")

        def seen_enough() -> bool:
            content = path.read_bytes()
            assert len(content) == 1_000_000
            assert content == content[:1] * len(content)
            seen.append(content[:1])
            return len(seen) > 100 and len(set(seen)) == 6

        faults.wait_until(seen_enough, "every letter")


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    sharedfiles.write_atomically(path, b"old")
    with pytest.raises(RuntimeError, match="midway"), sharedfiles.replacing(path) as temporary:
        temporary.write_bytes(b"ne")
        raise RuntimeError("midway")
    with faults.file_size_limit(100), pytest.raises(OSError, match="too large"):
        sharedfiles.write_atomically(path, bytes(1000))
    assert path.read_bytes() == b"old"
    assert entries(tmp_path) == ["state.json"]


def test_really_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    with faults.small_disk(tmp_path / "disk", kilobytes=64) as disk:
        sharedfiles.write_atomically(disk / "state.json", b"old")
        faults.fill(disk)
        with pytest.raises(OSError, match="No space left"):
            sharedfiles.write_atomically(disk / "state.json", bytes(30_000))
        assert (disk / "state.json").read_bytes() == b"old"
        assert entries(disk) == ["filler", "state.json"]


def test_file_that_was_never_written_is_an_error_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), sharedfiles.replacing(path):
        pass
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("step", faults.DEATHS)
def test_killed_writer_leaves_the_old_file_and_its_rest_goes_later(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    code = faults.DEATHS[step] + (
        "import sys, sharedfiles; from pathlib import Path; sharedfiles.write_atomically(Path(sys.argv[1]), bytes(100))"
    )
    with faults.Process(code, path) as process:
        assert process.status() == faults.KILLED
    assert path.read_bytes() == b"old"
    (rest,) = [name for name in entries(tmp_path) if name != "state.json"]
    sharedfiles.write_atomically(path, b"soon after")
    assert entries(tmp_path) == [rest, "state.json"]  # it might still be written to
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + sharedfiles.ABANDONED_SECONDS + 60)
    sharedfiles.write_atomically(tmp_path / "another.json", b"an hour later")
    assert entries(tmp_path) == ["another.json", "state.json"]


def test_other_hidden_files_are_no_rest_of_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".lock", ".download.part", "a.b.12345678.part"):
        (tmp_path / name).touch()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    sharedfiles.write_atomically(tmp_path / "state", b"")
    assert entries(tmp_path) == [".download.part", ".lock", "a.b.12345678.part", "state"]


def test_bytes_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    sharedfiles.write_atomically(tmp_path / "a", b"x")
    assert steps == ["file", "rename", "folder"]
    sharedfiles.write_atomically(tmp_path / "b", b"x", durable=False)
    assert steps[3:] == ["rename"]


# --- Locks


def test_lock_excludes_others_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    descriptor = sharedfiles.try_lock(path)
    assert descriptor is not None
    assert sharedfiles.try_lock(path) is None
    assert sharedfiles.try_lock(path, shared=True) is None
    assert sharedfiles.is_locked(path)
    os.close(descriptor)
    assert not sharedfiles.is_locked(path)


def test_shared_locks_exclude_only_an_exclusive_one(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    first, second = sharedfiles.try_lock(path, shared=True), sharedfiles.try_lock(path, shared=True)
    assert first is not None
    assert second is not None
    assert sharedfiles.try_lock(path) is None
    os.close(first)
    os.close(second)
    third = sharedfiles.try_lock(path)
    assert third is not None
    os.close(third)


def test_absent_lock_is_not_locked_and_is_not_made(tmp_path: Path) -> None:
    assert not sharedfiles.is_locked(tmp_path / "a.lock")
    with pytest.raises(FileNotFoundError):
        sharedfiles.try_lock(tmp_path / "a.lock", create=False)
    assert entries(tmp_path) == []


def test_failed_locks_leak_no_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with sharedfiles.exclusive(path, 0):
        before = faults.open_files()
        for _ in range(100):
            assert sharedfiles.try_lock(path) is None
            assert sharedfiles.is_locked(path)
            with sharedfiles.exclusive(path, 0) as held, sharedfiles.first_free([path], 0) as free:
                assert not held
                assert free is None
        assert faults.open_files() == before


def test_exclusive_admits_one_thread_at_a_time(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "a.lock", 0, 0

    def enter(_: int) -> bool:
        nonlocal inside, most
        with sharedfiles.exclusive(path, LONG) as held:
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
        return held

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(enter, range(60)))
    assert most == 1
    assert entries(tmp_path) == []


def test_exclusive_admits_one_process_at_a_time(tmp_path: Path) -> None:
    """Every process adds to a number in a file by reading and writing it: one that enters too early loses a count.

    The lock file is removed at each end, so this also runs through the moment when waiters hold a removed file.
    """
    code = """
import sys, sharedfiles
from pathlib import Path
lock, number = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
for _ in range(150):
    with sharedfiles.exclusive(lock, 60) as held:
        assert held
        number.write_text(str(int(number.read_text()) + 1))
"""
    lock, number = tmp_path / "a.lock", tmp_path / "number"
    number.write_text("0")
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(faults.Process(code, lock, number)) for _ in range(3)]
        for process in processes:
            assert process.line() == "ready"
        for process in processes:
            process.result()
    assert number.read_text() == "450"
    assert not lock.exists()


def test_lock_on_a_removed_file_is_not_taken_for_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a waiter's opening and locking of the file its holder removes it, and another one makes it anew."""
    path, opened = tmp_path / "a.lock", 0
    try_lock = sharedfiles.try_lock

    def after_a_removal(at: Path, *, shared: bool = False) -> int | None:
        nonlocal opened
        descriptor = try_lock(at, shared=shared)
        opened += 1
        if opened == 1:
            at.unlink()
            at.touch()
        return descriptor

    monkeypatch.setattr(sharedfiles, "try_lock", after_a_removal)
    before = faults.open_files()
    with sharedfiles.exclusive(path, LONG) as held:
        assert held
        assert opened == 2
        monkeypatch.undo()
        assert sharedfiles.is_locked(path)
    assert faults.open_files() == before


def test_lock_file_that_cannot_be_removed_gives_the_lock_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lock"
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"), sharedfiles.exclusive(path, 0):
        patched.setattr(Path, "unlink", faults.full_disk)
    assert path.exists()
    assert not sharedfiles.is_locked(path)


@pytest.mark.parametrize("kind", ["exclusive", "first free"])
def test_killed_holder_gives_the_lock_back(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.lock"
    with faults.Process(HOLD, kind, path) as holder:
        assert holder.line() != "None"
        assert sharedfiles.is_locked(path)
        with sharedfiles.exclusive(path, 0.05) as held:
            assert not held
        holder.kill()
        with sharedfiles.exclusive(path, LONG) as held:
            assert held


@pytest.mark.parametrize(
    "wait",
    [
        sharedfiles.exclusive,
        lambda path, seconds: sharedfiles.first_free([path], seconds),
    ],
    ids=["exclusive", "first_free"],
)
def test_waiting_ends_at_its_deadline(
    tmp_path: Path, wait: Callable[[Path, float], contextlib.AbstractContextManager[object]]
) -> None:
    path = tmp_path / "a.lock"
    with sharedfiles.exclusive(path, 0):
        for seconds in (0.0, 0.1):
            began = time.monotonic()
            with wait(path, seconds) as held:
                assert not held
            assert seconds <= time.monotonic() - began < seconds + LONG
        assert sharedfiles.is_locked(path)


def test_waiter_gets_the_lock_when_its_holder_ends(tmp_path: Path) -> None:
    path, released = tmp_path / "a.lock", threading.Event()

    def wait() -> tuple[bool, bool]:
        with sharedfiles.exclusive(path, LONG) as held:
            return held, released.is_set()

    with ThreadPoolExecutor(1) as pool:
        with sharedfiles.exclusive(path, 0):
            waiter = pool.submit(wait)
            time.sleep(0.05)
            assert not waiter.done()
            released.set()
        assert waiter.result(LONG) == (True, True)


def test_first_free_slot_is_taken_in_order(tmp_path: Path) -> None:
    slots = [tmp_path / f"slot-{n}.lock" for n in range(3)]
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(sharedfiles.first_free(slots, 0)) for _ in range(4)]
        assert taken == [*slots, None]
    with sharedfiles.first_free(slots, 0) as slot:
        assert slot == slots[0]
    assert entries(tmp_path) == ["slot-0.lock", "slot-1.lock", "slot-2.lock"]


def test_slots_are_shared_between_processes(tmp_path: Path) -> None:
    slots = [tmp_path / f"slot-{n}.lock" for n in range(3)]
    with faults.Process(HOLD, "slot", *slots) as first, faults.Process(HOLD, "slot", *slots) as second:
        held = {first.line(), second.line()}
        assert held == {str(slots[0]), str(slots[1])}
        with sharedfiles.first_free(slots, LONG) as slot:
            assert slot == slots[2]
            with sharedfiles.first_free(slots, 0) as none:
                assert none is None
            second.kill()
            with sharedfiles.first_free(slots, LONG) as again:
                assert again in slots[:2]


def test_slot_is_given_back_after_an_error(tmp_path: Path) -> None:
    slot = tmp_path / "slot.lock"
    with pytest.raises(RuntimeError, match="inside"), sharedfiles.first_free([slot], 0):
        raise RuntimeError("inside")
    assert not sharedfiles.is_locked(slot)


# --- Pruning


def aged(folder: Path, ages: dict[str, float], now: float) -> None:
    for name, age in ages.items():
        (folder / name).touch()
        os.utime(folder / name, (now - age, now - age))


@pytest.mark.parametrize(
    ("keep", "max_age", "left"),
    [
        (10, 1000.0, ["a", "b", "c", "d"]),
        (2, 1000.0, ["a", "b"]),
        (10, 25.0, ["a", "b"]),
        (10, 20.0, ["a", "b"]),
        (1, 25.0, ["a"]),
        (3, 0.5, []),
        (0, 1000.0, []),
    ],
)
def test_pruning_keeps_the_newest_within_their_age(tmp_path: Path, keep: int, max_age: float, left: list[str]) -> None:
    now = 1_800_000_000.0
    aged(tmp_path, {"d": 40.0, "b": 20.0, "a": 10.0, "c": 30.0}, now)
    sharedfiles.prune(tmp_path, keep=keep, max_age_seconds=max_age, now=now)
    assert entries(tmp_path) == left


def test_pruning_survives_others_that_prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    aged(tmp_path, {f"{n:02d}": float(n) for n in range(20)}, now)
    unlink = Path.unlink

    def removed_before(path: Path, missing_ok: bool = False) -> None:
        os.unlink(path)  # noqa: PTH108
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", removed_before)
    sharedfiles.prune(tmp_path, keep=5, max_age_seconds=1e6, now=now)
    assert entries(tmp_path) == [f"{n:02d}" for n in range(5)]
