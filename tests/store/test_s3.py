"""A bucket on S3 keeps its promises over a network that breaks, and never keeps anybody waiting for long."""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from habsim.errors import BucketError, NotFoundError, ObjectChangedError
from settings import Settings
from store import s3
from store.bucket import Bucket, LocalBucket
from store.connection import CONNECTIONS
from store.opening import open_bucket
from store.patience import Breaker, Patience
from store.s3 import S3Bucket
from tests import faults, s3_servers
from tests.proxy import HOST, Fault, Proxy, Request
from tests.s3_servers import Store
from tests.store.test_bucket import BucketContract

# A store that is only gone is noticed at once, so long timeouts cost no time; with a loaded machine they prevent that
# a slow answer counts as none.
PATIENT = Patience(call_seconds=20.0, connect_seconds=30.0, read_seconds=30.0, write_seconds=30.0)
CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class S3Contract(BucketContract):
    """What every bucket promises, of one behind a proxy that can go away."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def proxy(self, store: Store) -> Iterator[Proxy]:
        with Proxy(store.port) as proxy:
            yield proxy

    @pytest.fixture
    def bucket(self, store: Store, proxy: Proxy) -> Bucket:
        clock = Clock()
        # Without a rest: the store is there again as soon as the test says so.
        patience = Patience(
            call_seconds=20.0, connect_seconds=30.0, read_seconds=30.0, write_seconds=30.0, rest_seconds=0
        )
        return S3Bucket(s3_servers.settings(store.new_bucket(), proxy.port), patience, clock=clock, sleep=clock.sleep)

    @pytest.fixture
    def silent(self, proxy: Proxy) -> contextlib.AbstractContextManager[None]:
        return proxy.refused()

    def test_there_is_no_local_path(self, bucket: Bucket) -> None:
        bucket.write("a", b"x")
        assert bucket.local_path("a") is None

    def test_file_in_parts_is_one_object(self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
        content = os.urandom(11 * 2**20 + 1)
        for size in (len(content), 10 * 2**20):
            (tmp_path / "made").write_bytes(content[:size])
            bucket.put("a", tmp_path / "made")
            assert bucket.read("a") == content[:size]
            assert not (tmp_path / "made").exists()
        info = bucket.info("a")
        assert bucket.list() == {"a": info}
        assert bucket.read_range("a", 5 * 2**20 - 7, 14, info.version) == content[5 * 2**20 - 7 : 5 * 2**20 + 7]

    def test_upload_whose_completion_was_not_heard_of_is_complete(
        self, bucket: Bucket, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
        bucket.write("a", b"old")
        content = os.urandom(6 * 2**20)
        (tmp_path / "made").write_bytes(content)
        proxy.add(Fault("lost"), times=1, when=lambda r: r.method == "POST" and "uploadId=" in r.target)
        bucket.put("a", tmp_path / "made")
        assert bucket.read("a") == content
        assert not (tmp_path / "made").exists()

    def test_file_that_is_not_what_the_store_has_afterwards_is_kept(
        self, bucket: S3Bucket, store: Store, proxy: Proxy, tmp_path: Path
    ) -> None:
        (tmp_path / "made").write_bytes(CONTENT)
        proxy.add(Fault("silent"), when=meanwhile("HEAD", store, bucket, "a", b"other"))
        with pytest.raises(BucketError, match=f"has 5 bytes after {len(CONTENT)} were put"):
            bucket.put("a", tmp_path / "made")
        assert (tmp_path / "made").read_bytes() == CONTENT

    def test_more_objects_than_a_page_are_all_listed(self, bucket: Bucket) -> None:
        names = [f"object{n:03d}" for n in range(2 * s3_servers.PAGE + 3)]
        for name in names:
            bucket.write(name, b"")
        assert list(bucket.list("obj")) == names

    def test_what_is_no_object_name_is_not_listed(self, bucket: S3Bucket, store: Store) -> None:
        for key in ("object", "an object", "folder/object", ".hidden"):
            store.client().put_object(Bucket=bucket.name, Key=key, Body=b"x")
        assert list(bucket.list()) == ["object"]

    def test_absent_bucket_is_named_with_its_setting(self, proxy: Proxy) -> None:
        bucket = S3Bucket(s3_servers.settings("absent-bucket", proxy.port), PATIENT)
        uses: list[Callable[[], object]] = [
            bucket.list,
            lambda: bucket.read("a"),
            lambda: bucket.read_range("a", 0, 1, "v"),
            lambda: bucket.write("a", b"x"),
        ]
        for use in uses:
            with pytest.raises(BucketError, match=r"no bucket absent-bucket at .*S3_BUCKET_NAME"):
                use()


def meanwhile(method: str, store: Store, bucket: S3Bucket, name: str, content: bytes) -> Callable[[Request], bool]:
    """For `Proxy.add`: while a request of that method is on its way, another client writes. Holds for no request."""

    def write(request: Request) -> bool:
        if request.method == method:
            store.client().put_object(Bucket=bucket.name, Key=name, Body=content)
        return False

    return write


class TestMoto(S3Contract):
    @pytest.fixture
    def store(self) -> Store:
        return s3_servers.moto()

    def test_conditional_write_whose_answer_was_lost_is_known_to_be_done(self, bucket: Bucket, proxy: Proxy) -> None:
        bucket.write("a", b"1")
        proxy.add(Fault("lost"), times=1, when=lambda r: r.method == "PUT")
        assert bucket.write_if("a", b"2", bucket.info("a").version)
        assert bucket.read("a") == b"2"

    def test_store_itself_holds_back_a_write_under_a_condition(
        self, bucket: S3Bucket, store: Store, proxy: Proxy
    ) -> None:
        """Somebody writes after the look: only the store can know."""
        bucket.write("a", b"1")
        for version in (bucket.info("a").version, None):
            name = "a" if version else "new"
            proxy.add(Fault("silent"), when=meanwhile("PUT", store, bucket, name, b"other"))
            assert not bucket.write_if(name, b"2", version)
            proxy.heal()
            assert bucket.read(name) == b"other"

    def test_store_itself_holds_back_a_range_of_another_version(self, bucket: Bucket, proxy: Proxy) -> None:
        bucket.write("a", CONTENT)
        version = bucket.info("a").version
        bucket.write("a", CONTENT[::-1])
        bucket.read("a")
        proxy.reset_counters()
        with pytest.raises(ObjectChangedError):
            bucket.read_range("a", 0, len(CONTENT), version)
        assert proxy.counters.bytes_from_store < 10_000

    def test_upload_that_fails_leaves_nothing_but_the_file(
        self, bucket: S3Bucket, store: Store, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
        (tmp_path / "made").write_bytes(bytes(11 * 2**20))
        proxy.add(Fault("unavailable", retry_after=3600), when=lambda r: "partNumber=2" in r.target)
        with pytest.raises(BucketError, match=r"part 2 of a at .*503"):
            bucket.put("a", tmp_path / "made")
        assert (tmp_path / "made").stat().st_size == 11 * 2**20
        assert bucket.list() == {}
        assert "Uploads" not in store.client().list_multipart_uploads(Bucket=bucket.name)


class TestRclone(S3Contract):
    @pytest.fixture
    def store(self) -> Store:
        return s3_servers.rclone()

    def test_one_of_many_conditional_writers_wins(self, bucket: Bucket) -> None:
        """rclone ignores conditions: of those that write at once each may win, and the last one's bytes stay."""
        bucket.write("a", b"start")
        version = bucket.info("a").version
        contents = [f"writer {n}".encode() for n in range(6)]
        with ThreadPoolExecutor(6) as pool:
            won = list(pool.map(lambda content: bucket.write_if("a", content, version), contents))
        assert bucket.read("a") in [content for content, wins in zip(contents, won, strict=True) if wins]
        assert not bucket.write_if("a", b"late", version)

    @pytest.mark.parametrize("use", ["list", "info", "read", "range", "write", "write_if", "put", "delete"])
    def test_wrong_secret_is_refused_with_the_names_of_the_settings(
        self, store: Store, tmp_path: Path, use: str
    ) -> None:
        (tmp_path / "file").write_bytes(b"x")
        bucket = S3Bucket(s3_servers.settings(store.new_bucket(), store.port, "another secret"), PATIENT)
        uses: dict[str, Callable[[], object]] = {
            "list": bucket.list,
            "info": lambda: bucket.info("a"),
            "read": lambda: bucket.read("a"),
            "range": lambda: bucket.read_range("a", 0, 1, "v"),
            "write": lambda: bucket.write("a", b"x"),
            "write_if": lambda: bucket.write_if("a", b"x", None),
            "put": lambda: bucket.put("a", tmp_path / "file"),
            "delete": lambda: bucket.delete("a"),
        }
        with pytest.raises(BucketError, match=r"refuses the keys .*403.* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"):
            uses[use]()
        assert (tmp_path / "file").exists()

    def test_address_that_is_not_good_any_more_is_signed_anew(self, bucket: S3Bucket) -> None:
        """The keys of a role are replaced every few hours, and what they have signed ends with them."""
        bucket.write("a", b"content")
        version = bucket.info("a").version
        bucket.read("a")
        signed = bucket._here().store(bucket._connect).signed
        signed["a"] = signed["a"]._replace(address=signed["a"].address[:-4] + "0000")
        assert bucket.read_range("a", 0, 3, version) == b"con"


# --- Faults of the network, in front of either store


@pytest.fixture(params=[s3_servers.moto, s3_servers.rclone], ids=["moto", "rclone"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    store: Store = request.param()
    with Proxy(store.port) as proxy:
        yield proxy


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(proxy: Proxy, clock: Clock) -> S3Bucket:
    """A bucket behind the proxy that has `CONTENT` as `a`."""
    stores = {s3_servers.moto().port: s3_servers.moto(), s3_servers.rclone().port: s3_servers.rclone()}
    name = stores[proxy.upstream[1]].new_bucket()
    bucket = S3Bucket(s3_servers.settings(name, proxy.port), PATIENT, clock=clock, sleep=clock.sleep)
    bucket.write("a", CONTENT)
    return bucket


def impatient(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> S3Bucket:
    """The same bucket for somebody who does not wait for answers."""
    patience = Patience(call_seconds=3.0, connect_seconds=30.0, read_seconds=0.05, write_seconds=0.05)
    return S3Bucket(s3_servers.settings(bucket.name, proxy.port), patience, clock=clock, sleep=clock.sleep)


def is_range(request: Request) -> bool:
    return request.range is not None


PASSING = [
    Fault("cut", after=0),
    Fault("cut", after=1000),
    Fault("reset", after=0),
    Fault("reset", after=1000),
    Fault("lost"),
    Fault("length", more=7),
    Fault("length", more=-7),
    Fault("unavailable"),
    Fault("unavailable", retry_after=3),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.kind}{fault.after or fault.more or ''}")
def test_range_survives_faults_that_pass(bucket: S3Bucket, proxy: Proxy, fault: Fault) -> None:
    version = bucket.info("a").version
    proxy.add(fault, times=2, when=is_range)
    proxy.reset_counters()
    assert bucket.read_range("a", 100_000, 50_000, version) == CONTENT[100_000:150_000]
    assert proxy.counters.ranges == 3


@pytest.mark.parametrize("fault", [Fault("cut", after=1000), Fault("reset"), Fault("lost"), Fault("unavailable")])
def test_small_object_survives_faults_that_pass(bucket: S3Bucket, proxy: Proxy, fault: Fault) -> None:
    proxy.add(fault, times=2)
    assert bucket.read("a") == CONTENT
    proxy.add(fault, times=2)
    assert bucket.info("a").size == len(CONTENT)
    proxy.add(fault, times=2)
    assert list(bucket.list()) == ["a"]
    proxy.add(fault, times=2)
    bucket.write("a", b"new")
    proxy.heal()
    assert bucket.read("a") == b"new"


@pytest.mark.parametrize("fault", [Fault("silent"), Fault("stall", after=1000)], ids=["silent", "stall"])
def test_range_survives_silence_that_passes(bucket: S3Bucket, proxy: Proxy, fault: Fault) -> None:
    version = bucket.info("a").version
    patience = Patience(call_seconds=3600.0, read_seconds=0.5)
    waiting = S3Bucket(s3_servers.settings(bucket.name, proxy.port), patience)
    proxy.add(fault, times=2, when=is_range)
    assert waiting.read_range("a", 100_000, 50_000, version) == CONTENT[100_000:150_000]


def test_whole_object_in_the_place_of_a_range_is_refused_unread(bucket: S3Bucket, proxy: Proxy) -> None:
    size = 64 * 2**20  # more than the buffers on the way take
    bucket.write("a", bytes(size))
    version = bucket.info("a").version
    proxy.add(Fault("whole"))
    proxy.reset_counters()
    with pytest.raises(BucketError, match=f"does not answer ranges, .* sends {size} bytes .* where 50 from byte 100"):
        bucket.read_range("a", 100, 50, version)
    assert proxy.counters.requests == 1
    proxy.heal()
    assert bucket.read_range("a", 100, 50, version) == bytes(50)
    assert proxy.counters.bytes_from_store < size


def test_whole_object_that_is_as_long_as_the_range_is_not_taken_for_it(bucket: S3Bucket, proxy: Proxy) -> None:
    version = bucket.info("a").version
    proxy.add(Fault("whole"))
    for _ in range(CONNECTIONS + 1):  # each costs its connection, but not its place in the pool
        with pytest.raises(BucketError, match="does not answer ranges"):
            bucket.read_range("a", 1, len(CONTENT), version)
    assert bucket.read_range("a", 0, len(CONTENT), version) == CONTENT


def test_other_version_in_the_answer_is_a_changed_object(bucket: S3Bucket, proxy: Proxy) -> None:
    version = bucket.info("a").version
    assert bucket.read_range("a", 0, 10, version) == CONTENT[:10]
    proxy.add(Fault("etag"))
    proxy.reset_counters()
    with pytest.raises(ObjectChangedError, match="a in the bucket was replaced"):
        bucket.read_range("a", 10, 10, version)
    assert proxy.counters.requests == 1


def test_object_that_is_replaced_by_a_shorter_one_has_changed(bucket: S3Bucket) -> None:
    version = bucket.info("a").version
    bucket.write("a", b"short")
    with pytest.raises(ObjectChangedError):
        bucket.read_range("a", 1000, 10, version)


def test_connections_are_kept_and_no_more_than_the_pool_has(bucket: S3Bucket, proxy: Proxy) -> None:
    version = bucket.info("a").version
    proxy.reset_counters()
    proxy.latency_seconds = 0.02

    def read(n: int) -> bool:
        return bucket.read_range("a", n, 100, version) == CONTENT[n : n + 100]

    with ThreadPoolExecutor(2 * CONNECTIONS) as pool:
        assert all(pool.map(read, range(10 * CONNECTIONS)))
    assert proxy.counters.ranges == 10 * CONNECTIONS
    assert 1 < proxy.counters.most_at_once <= CONNECTIONS
    assert proxy.counters.connections <= CONNECTIONS


def test_upload_may_take_longer_than_a_connection(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    """Over a slow line: 16 MB at 8 MB/s, where connecting may take a second."""
    content = bytes(16_000_000)
    patience = Patience(connect_seconds=1.0, write_seconds=60.0)
    with Proxy(proxy.upstream[1], bytes_per_second=8e6) as slow:
        uploading = S3Bucket(s3_servers.settings(bucket.name, slow.port), patience, clock=clock, sleep=clock.sleep)
        uploading.write("large", content)
        assert slow.counters.by_method == {"PUT": 1}
    assert bucket.info("large").size == len(content)


def test_upload_ends_with_its_budget(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    def time_passes(_: Request) -> bool:
        clock.now += 1000.0
        return False

    with Proxy(proxy.upstream[1], bytes_per_second=8e6) as slow:
        slow.add(Fault("silent"), when=time_passes)
        uploading = S3Bucket(s3_servers.settings(bucket.name, slow.port), PATIENT, clock=clock, sleep=clock.sleep)
        with pytest.raises(BucketError, match=r"large at .* 1 attempts in 10\d\d.\d s, .* bytes were sent when"):
            uploading.write("large", bytes(50_000_000))
    assert list(bucket.list()) == ["a"]


# --- Budgets


def test_budget_ends_a_call_with_what_happened(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    version = bucket.info("a").version
    proxy.add(Fault("cut", after=1000))
    proxy.reset_counters()
    began = clock.now
    with pytest.raises(BucketError) as caught:
        bucket.read_range("a", 0, 50_000, version)
    attempts = proxy.counters.ranges
    assert attempts > 5
    for part in ("a at ", f"{HOST}:{proxy.port}", f"given up after {attempts} attempts in {clock.now - began:.1f} s",
                 "after 1000 bytes of the body"):  # fmt: skip
        assert part in str(caught.value)
    budget = PATIENT.call_seconds + 50_000 / PATIENT.bytes_per_second
    assert budget - PATIENT.longest_pause_seconds <= clock.now - began < budget


def test_budget_grows_with_the_bytes(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    version = bucket.info("a").version
    spent = []
    for length in (1, len(CONTENT)):
        proxy.add(Fault("unavailable"), when=is_range)
        began = clock.now
        with pytest.raises(BucketError, match="503"):
            bucket.read_range("a", 0, length, version)
        spent.append(clock.now - began)
        proxy.heal()
        clock.now += PATIENT.rest_seconds
    assert spent[1] - spent[0] > len(CONTENT) / PATIENT.bytes_per_second - 2 * PATIENT.longest_pause_seconds


def test_pauses_grow_and_are_bounded(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    proxy.add(Fault("unavailable"))
    with pytest.raises(BucketError):
        bucket.info("a")
    whole = [min(0.1 * 2**n, 2.0) for n in range(len(clock.pauses))]
    assert all(0.5 * longest <= pause <= longest for pause, longest in zip(clock.pauses, whole, strict=True))


def test_store_is_given_the_time_it_asks_for(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    proxy.add(Fault("unavailable", retry_after=7), times=2)
    assert bucket.read("a") == CONTENT
    assert clock.pauses == [7.0, 7.0]


def test_store_that_asks_for_more_time_than_is_left_is_given_up_at_once(bucket: S3Bucket, proxy: Proxy) -> None:
    proxy.add(Fault("unavailable", retry_after=3600))
    proxy.reset_counters()
    with pytest.raises(BucketError, match="given up after 1 attempts"):
        bucket.read("a")
    assert proxy.counters.requests == 1


def test_answers_that_are_final_are_not_asked_for_twice(bucket: S3Bucket, proxy: Proxy) -> None:
    version = bucket.info("a").version
    proxy.reset_counters()
    with pytest.raises(NotFoundError):
        bucket.read("absent")
    with pytest.raises(BucketError, match=f"a has {len(CONTENT)} bytes, 2 from byte {len(CONTENT) - 1}"):
        bucket.read_range("a", len(CONTENT) - 1, 2, version)
    assert proxy.counters.ranges == 1
    assert proxy.counters.by_method["GET"] == 2


# --- A store that is gone


def test_silent_store_is_left_alone_until_it_has_rested(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    version = bucket.info("a").version
    hasty = impatient(bucket, proxy, clock)
    with proxy.silent():
        with pytest.raises(BucketError, match="given up after"):
            hasty.read_range("a", 0, 10, version)
        asked = proxy.counters.requests
        uses: list[Callable[[], object]] = [
            lambda: hasty.read_range("a", 0, 10, version),
            lambda: hasty.read("a"),
            lambda: hasty.info("a"),
            hasty.list,
            lambda: hasty.write("a", b"x"),
        ]
        for use in uses:
            with pytest.raises(BucketError, match=r"has not answered since \d\d:\d\d:\d\d UTC; .* again in [45]\.\d s"):
                use()
        assert proxy.counters.requests == asked
        clock.now += PATIENT.rest_seconds
        with pytest.raises(BucketError, match="given up after"):
            hasty.info("a")
        assert proxy.counters.requests > asked
        with pytest.raises(BucketError, match="has not answered since"):
            hasty.info("a")
    assert bucket.read("a") == CONTENT


@pytest.mark.parametrize("gone", ["refused", "unavailable"])
def test_store_that_comes_back_is_used_again(bucket: S3Bucket, proxy: Proxy, clock: Clock, gone: str) -> None:
    with contextlib.ExitStack() as outage:
        if gone == "refused":
            outage.enter_context(proxy.refused())
        else:
            proxy.add(Fault("unavailable"))
        with pytest.raises(BucketError, match="given up after"):
            bucket.info("a")
    proxy.heal()
    with pytest.raises(BucketError, match="has not answered since"):
        bucket.info("a")
    clock.now += PATIENT.rest_seconds
    assert bucket.read("a") == CONTENT
    assert bucket.info("a").size == len(CONTENT)


def test_object_that_never_comes_whole_does_not_make_the_store_a_silent_one(bucket: S3Bucket, proxy: Proxy) -> None:
    version = bucket.info("a").version
    proxy.add(Fault("cut", after=10), when=is_range)
    with pytest.raises(BucketError, match="given up"):
        bucket.read_range("a", 0, 1000, version)
    assert bucket.read("a") == CONTENT


def test_answers_with_an_error_do_not_make_the_store_a_silent_one(bucket: S3Bucket) -> None:
    for _ in range(3):
        with pytest.raises(NotFoundError):
            bucket.read("absent")
        with pytest.raises(ObjectChangedError):
            bucket.read_range("a", 0, 1, "another version")
    assert bucket.read("a") == CONTENT


def test_one_call_at_a_time_tries_a_silent_store_again() -> None:
    clock = Clock()
    breaker = Breaker(5.0, clock)
    with breaker.call("store") as outcome:
        outcome.answered = False
    clock.now = 5.0
    with breaker.call("store"), pytest.raises(BucketError, match="tried again just now"), breaker.call("store"):
        pass
    with breaker.call("store") as outcome:
        outcome.answered = True
    with breaker.call("store"), breaker.call("store"):
        pass


def test_call_that_is_interrupted_says_nothing_about_the_store() -> None:
    breaker = Breaker(5.0, Clock())
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), breaker.call("store"):
            raise KeyboardInterrupt
    breaker.call("store").__enter__()


def test_breaker_holds_for_many_threads(bucket: S3Bucket, proxy: Proxy, clock: Clock) -> None:
    with proxy.refused():
        with pytest.raises(BucketError):
            bucket.info("a")
        clock.now += PATIENT.rest_seconds
        gate = threading.Barrier(16)

        def use(_: int) -> str:
            gate.wait(60)
            with pytest.raises(BucketError) as caught:
                bucket.info("a")
            return str(caught.value)

        with ThreadPoolExecutor(16) as pool:
            said = list(pool.map(use, range(16)))
    assert 1 <= sum("given up" in message for message in said) < 16


# --- Processes, settings


def test_connections_are_not_shared_over_a_fork(bucket: S3Bucket, proxy: Proxy) -> None:
    proxy.reset_counters()
    code = """
import os, sys
from tests import s3_servers
from store.s3 import S3Bucket
bucket = S3Bucket(s3_servers.settings(sys.argv[1], int(sys.argv[2])))
whole = bucket.read("a")
version = bucket.info("a").version
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        good = all(bucket.read_range("a", n, 1000, version) == whole[n : n + 1000] for n in range(40))
        os._exit(0 if good else 1)
    children.append(pid)
assert all(bucket.read_range("a", n, 1000, version) == whole[n : n + 1000] for n in range(40))
print(sum(os.waitpid(child, 0)[1] for child in children))
"""
    with faults.Process(code, bucket.name, proxy.port) as process:
        assert process.line() == "0"
        assert process.result() == ""
    assert proxy.counters.ranges == 160
    assert proxy.counters.connections == 4


def test_settings_choose_the_bucket(tmp_path: Path) -> None:
    assert isinstance(open_bucket(Settings.model_construct(data_dir=tmp_path)), LocalBucket)
    bucket = open_bucket(Settings.model_construct(s3_bucket_name="winds", aws_region="eu-central-1"))
    assert str(bucket) == "bucket winds at https://s3.eu-central-1.amazonaws.com"


def test_folder_as_a_bucket_needs_no_boto3() -> None:
    code = "import sys, store.bucket; print('boto3' in sys.modules)"
    with faults.Process(code) as process:
        assert process.result() == "False"


def test_half_a_key_is_refused() -> None:
    for half in ({"aws_access_key_id": "key"}, {"aws_secret_access_key": SecretStr("secret")}):
        with pytest.raises(BucketError, match="both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            S3Bucket(Settings.model_construct(s3_bucket_name="winds", **half))


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without keys and roles; returns boto3's configuration file."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.mark.usefixtures("no_keys")
def test_store_without_keys_is_named_with_its_settings() -> None:
    bucket = S3Bucket(Settings.model_construct(s3_bucket_name="winds", s3_endpoint_url=f"http://{HOST}:1"))
    for use in (bucket.list, lambda: bucket.read("a")):
        with pytest.raises(BucketError, match=r"no keys for bucket winds .* AWS_ACCESS_KEY_ID"):
            use()


def test_configuration_file_of_boto3_changes_nothing_but_keys(
    bucket: S3Bucket, proxy: Proxy, no_keys: Path, clock: Clock
) -> None:
    no_keys.write_text(
        f"[default]\naws_access_key_id = {s3_servers.KEY}\naws_secret_access_key = {s3_servers.SECRET}\n"
        "region = eu-west-1\nendpoint_url = http://127.0.0.1:1\nretry_mode = adaptive\nmax_attempts = 9\n"
        "request_checksum_calculation = when_supported\ns3 =\n    addressing_style = virtual\n"
    )
    settings = Settings.model_construct(s3_bucket_name=bucket.name, s3_endpoint_url=f"http://{HOST}:{proxy.port}")
    same = S3Bucket(settings, PATIENT, clock=clock, sleep=clock.sleep)
    same.write("b", b"x")
    assert same.read("b") == b"x"
    proxy.add(Fault("unavailable", retry_after=3600))
    proxy.reset_counters()
    with pytest.raises(BucketError):
        same.info("b")
    assert proxy.counters.requests == 1


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("winds", "https://winds.s3.eu-central-1.amazonaws.com/whichgefs?"),
        ("winds.example.org", "https://s3.eu-central-1.amazonaws.com/winds.example.org/whichgefs?"),
    ],
)
def test_address_of_aws_is_that_of_the_region(no_keys: Path, name: str, address: str) -> None:
    assert not no_keys.exists()
    bucket = S3Bucket(
        Settings.model_construct(
            s3_bucket_name=name,
            aws_region="eu-central-1",
            aws_access_key_id="key",
            aws_secret_access_key=SecretStr("secret"),
        )
    )
    assert bucket._sign(bucket._here().store(bucket._connect), "whichgefs").startswith(address)


def test_version_is_the_etag_or_the_time_of_the_last_change() -> None:
    # A listing tells more of it than a header.
    moment = datetime.datetime(2026, 11, 19, 1, 2, 3, 900_000, tzinfo=datetime.UTC)
    assert s3._version('"abc"', moment) == s3._version('W/"abc"', None) == "abc"
    dated = s3._version("", moment)
    assert dated == s3._version_of({"ETag": "", "Last-Modified": "Thu, 19 Nov 2026 01:02:03 GMT"})
    assert dated != s3._version_of({"Last-Modified": "Thu, 19 Nov 2026 01:02:04 GMT"})
    with pytest.raises(BucketError, match="neither ETags nor times"):
        s3._version_of({})
