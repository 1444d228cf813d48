"""Buckets keep objects whole, whatever happens to them meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from habsim.errors import BucketError, NotFoundError, ObjectChangedError
from store.bucket import Bucket, LocalBucket
from tests import faults


class BucketContract:
    """What every bucket promises. A subclass says how one is made, and how its store stops answering."""

    @pytest.fixture
    def bucket(self, tmp_path: Path) -> Bucket:
        raise NotImplementedError

    @pytest.fixture
    def silent(self, bucket: Bucket) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError

    def test_new_bucket_is_empty(self, bucket: Bucket) -> None:
        assert bucket.list() == {}

    def test_absent_object_is_not_found(self, bucket: Bucket) -> None:
        bucket.write("other", b"x")
        uses: list[Callable[[], object]] = [
            lambda: bucket.read("absent"),
            lambda: bucket.info("absent"),
            lambda: bucket.read_range("absent", 0, 1, "v"),
        ]
        for use in uses:
            with pytest.raises(NotFoundError, match="absent"):
                use()

    def test_written_object_is_read(self, bucket: Bucket) -> None:
        content = bytes(range(256)) * 100
        bucket.write("2026111900.json", content)
        assert bucket.read("2026111900.json") == content
        assert bucket.info("2026111900.json").size == len(content)

    def test_names_are_sorted(self, bucket: Bucket) -> None:
        for name in ("whichgefs", "2026111906_00.npz", "2026111900.json", "2026111900_10.npz"):
            bucket.write(name, b"")
        assert list(bucket.list()) == ["2026111900.json", "2026111900_10.npz", "2026111906_00.npz", "whichgefs"]

    def test_put_file_moves(self, bucket: Bucket, tmp_path: Path) -> None:
        path = tmp_path / "made.npz"
        path.write_bytes(b"winds" * 100_000)
        bucket.put("2026111900_00.npz", path)
        assert not path.exists()
        assert bucket.read("2026111900_00.npz") == b"winds" * 100_000
        assert list(bucket.list()) == ["2026111900_00.npz"]

    def test_replaced_object_has_another_version(self, bucket: Bucket, tmp_path: Path) -> None:
        bucket.write("a", b"one")
        versions = [bucket.info("a").version]
        bucket.write("a", b"two")
        versions.append(bucket.info("a").version)
        (tmp_path / "three").write_bytes(b"3rd")
        bucket.put("a", tmp_path / "three")
        versions.append(bucket.info("a").version)
        assert len(set(versions)) == 3
        assert bucket.info("a").version == versions[-1]
        assert bucket.read("a") == b"3rd"

    def test_list_has_what_info_says_and_only_the_prefix(self, bucket: Bucket) -> None:
        for name, content in (("2026111900_00.npz", b"one"), ("2026111900.json", b"{}"), ("2026111906_00.npz", b"")):
            bucket.write(name, content)
        found = bucket.list("2026111900")
        assert list(found) == ["2026111900.json", "2026111900_00.npz"]
        assert found == {name: bucket.info(name) for name in found}
        assert list(bucket.list("2026111900_")) == ["2026111900_00.npz"]
        assert bucket.list("x") == {}

    def test_range_is_those_bytes(self, bucket: Bucket) -> None:
        content = bytes(range(256)) * 40
        bucket.write("a", content)
        version = bucket.info("a").version
        for offset, length in ((0, 1), (0, len(content)), (100, 1000), (len(content) - 1, 1)):
            assert bucket.read_range("a", offset, length, version) == content[offset : offset + length]

    def test_range_beyond_the_end_is_refused(self, bucket: Bucket) -> None:
        bucket.write("a", bytes(100))
        version = bucket.info("a").version
        for offset, length in ((0, 101), (50, 51), (100, 1), (1000, 10)):
            with pytest.raises(BucketError):
                bucket.read_range("a", offset, length, version)

    def test_range_of_a_replaced_object_is_refused(self, bucket: Bucket) -> None:
        bucket.write("a", b"first content")
        version = bucket.info("a").version
        bucket.write("a", b"other content")
        with pytest.raises(ObjectChangedError, match="a in the bucket was replaced"):
            bucket.read_range("a", 0, 5, version)

    def test_condition_holds_back_a_write(self, bucket: Bucket) -> None:
        assert not bucket.write_if("a", b"x", "no such version")
        assert bucket.list() == {}
        assert bucket.write_if("a", b"1", None)
        assert not bucket.write_if("a", b"x", None)
        first = bucket.info("a").version
        assert bucket.write_if("a", b"2", first)
        assert not bucket.write_if("a", b"x", first)
        assert bucket.read("a") == b"2"

    def test_one_of_many_conditional_writers_wins(self, bucket: Bucket) -> None:
        bucket.write("a", b"start")
        version = bucket.info("a").version
        contents = [f"writer {n}".encode() for n in range(6)]
        with ThreadPoolExecutor(6) as pool:
            won = list(pool.map(lambda content: bucket.write_if("a", content, version), contents))
        assert sum(won) == 1
        assert bucket.read("a") == contents[won.index(True)]

    def test_deleting_is_done_once_and_no_error_twice(self, bucket: Bucket) -> None:
        bucket.write("a", b"x")
        bucket.write("b", b"x")
        bucket.delete("a")
        bucket.delete("a")
        assert list(bucket.list()) == ["b"]

    def test_readers_see_the_old_object_or_the_new_one(self, bucket: Bucket) -> None:
        contents = [letter * 200_000 for letter in (b"a", b"b")]
        bucket.write("whichgefs", contents[0])
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                for content in contents:
                    bucket.write("whichgefs", content)

        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(write)
            try:
                seen: list[bytes] = []

                def seen_both() -> bool:
                    seen.append(bucket.read("whichgefs"))
                    assert seen[-1] in contents
                    return len(seen) > 50 and len(set(seen)) == 2

                faults.wait_until(seen_both, "both contents")
            finally:
                stop.set()
            writer.result()

    @pytest.mark.parametrize(
        "name",
        ["", ".", "..", "../whichgefs", "a/b", "/etc/passwd", ".hidden", "a b", "a\n", "a\0b", "-rf", "ä", "x" * 300],
    )
    def test_name_that_is_no_object_name_is_refused_everywhere(self, bucket: Bucket, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_bytes(b"x")
        uses: list[Callable[[], object]] = [
            lambda: bucket.read(name),
            lambda: bucket.info(name),
            lambda: bucket.read_range(name, 0, 1, "v"),
            lambda: bucket.local_path(name),
            lambda: bucket.write_if(name, b"x", None),
            lambda: bucket.write(name, b"x"),
            lambda: bucket.put(name, tmp_path / "file"),
            lambda: bucket.delete(name),
        ]
        for use in uses:
            with pytest.raises(NotFoundError, match="there is no object named"):
                use()
        assert (tmp_path / "file").exists()
        assert bucket.list() == {}

    def test_store_that_does_not_answer_is_a_bucket_error(
        self, bucket: Bucket, tmp_path: Path, silent: contextlib.AbstractContextManager[None]
    ) -> None:
        bucket.write("a", b"x")
        version = bucket.info("a").version
        (tmp_path / "file").write_bytes(b"x")
        uses: list[Callable[[], object]] = [
            bucket.list,
            lambda: bucket.read("a"),
            lambda: bucket.info("a"),
            lambda: bucket.read_range("a", 0, 1, version),
            lambda: bucket.write_if("a", b"y", version),
            lambda: bucket.write("a", b"y"),
            lambda: bucket.put("a", tmp_path / "file"),
            lambda: bucket.delete("a"),
        ]
        with silent:
            for use in uses:
                with pytest.raises(BucketError):
                    use()
        assert bucket.read("a") == b"x"


class TestLocalBucket(BucketContract):
    @pytest.fixture
    def bucket(self, tmp_path: Path) -> Bucket:
        return LocalBucket(tmp_path / "bucket")

    @pytest.fixture
    def silent(self, bucket: Bucket) -> contextlib.AbstractContextManager[None]:
        assert isinstance(bucket, LocalBucket)
        bucket.root.mkdir()
        return faults.no_permission(bucket.root)

    def test_opened_file_keeps_its_bytes_when_the_object_is_replaced_or_deleted(self, tmp_path: Path) -> None:
        bucket = LocalBucket(tmp_path)
        bucket.write("a", b"old")
        with bucket.local_path("a").open("rb") as opened:
            bucket.write("a", b"new")
            bucket.delete("a")
            assert opened.read() == b"old"

    def test_other_files_and_folders_are_no_objects(self, tmp_path: Path) -> None:
        bucket = LocalBucket(tmp_path)
        (tmp_path / "folder").mkdir()
        (tmp_path / ".a.1.part").touch()
        (tmp_path / "an object").touch()
        (tmp_path / "object").touch()
        (tmp_path / "broken").symlink_to("nowhere")
        assert list(bucket.list()) == ["object"]
        with pytest.raises(BucketError, match="folder in the bucket"):
            bucket.read("folder")

    def test_root_that_is_a_file_holds_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        bucket = LocalBucket(tmp_path / "file")
        assert bucket.list() == {}
        with pytest.raises(NotFoundError):
            bucket.read("a")
        with pytest.raises(BucketError, match="exists"):
            bucket.write("a", b"x")

    def test_path_is_the_file_itself(self, tmp_path: Path) -> None:
        """A wind file is mapped where it lies: no copy of gigabytes."""
        bucket = LocalBucket(tmp_path)
        bucket.write("a", b"x")
        assert bucket.local_path("a") == tmp_path / "a"

    def test_full_disk_keeps_the_old_object_and_the_new_file(self, tmp_path: Path) -> None:
        with faults.small_disk(tmp_path / "disk", kilobytes=64) as disk:
            bucket = LocalBucket(disk)
            bucket.write("a", b"old")
            made = tmp_path / "made"
            made.write_bytes(bytes(100_000))
            with pytest.raises(BucketError, match="No space left"):
                bucket.put("a", made)
            with pytest.raises(BucketError, match="No space left"):
                bucket.write("a", bytes(100_000))
            assert made.stat().st_size == 100_000
            assert bucket.read("a") == b"old"
            assert [entry.name for entry in disk.iterdir()] == ["a"]

    @pytest.mark.parametrize(
        "use",
        [
            "made.write_bytes(new); bucket.put('a', made)",
            "bucket.write('a', new)",
            "bucket.write_if('a', new, bucket.info('a').version)",
        ],
        ids=["put", "write", "write_if"],
    )
    def test_process_that_dies_at_any_step_leaves_the_old_object_or_the_new_one(self, tmp_path: Path, use: str) -> None:
        old, new = b"old" * 10_000, b"new" * 10_000
        bucket = LocalBucket(tmp_path / "bucket")
        bucket.write("a", old)
        setup = """
import sys
from pathlib import Path
from store.bucket import LocalBucket
bucket, made, new = LocalBucket(Path(sys.argv[1])), Path(sys.argv[2]), b"new" * 10_000
"""
        died_in = []
        for step in faults.deaths(setup, use, bucket.root, tmp_path / "made"):
            died_in.append(step.split()[0])
            assert list(bucket.list()) == ["a"]
            assert bucket.read("a") in (old, new)
            bucket.write("a", old)
        assert bucket.read("a") == new
        assert list(bucket.list()) == ["a"]
        assert {"write", "fsync", "replace"} <= set(died_in)
        assert not (tmp_path / "made").exists()
