"""A bucket on S3: AWS, Cloudflare R2 or any other store that speaks its protocol.

boto3 builds, signs and parses, `store.connection` sends. boto3 by itself knows timeouts of single attempts only, and a
ranged read through it costs 2 ms of the processor; here every call has a deadline over all its attempts, and ranged
reads go past boto3, to an address that it has signed.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import email.utils
import hashlib
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

from habsim.errors import BucketError, NotFoundError, ObjectChangedError
from settings import Settings
from store.bucket import ObjectInfo, check_name, is_object_name
from store.connection import Clock, Limits, Signed, Store, TryAgainError, read_body, release
from store.patience import Breaker, Patience

log = logging.getLogger(__name__)

PART_BYTES = 16 * 2**20  # larger files are uploaded in parts of this size; S3 takes 5 MiB and more, up to 10,000 parts
_MODIFIED = "modified-"
_UPLOADS = 4  # parts on their way at once; each is in memory
_COMPLETE_SECONDS = 120.0  # a store may have to copy the parts
_SIGNED_SECONDS, _REUSED_SECONDS = 3600, 600.0  # how long a signed address holds, and how long it is used
_SIGNED_ADDRESSES = 512
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_CODE = re.compile(rb"<Code>(\w{1,100})</Code>")
_GONE = (502, 503, 504)  # what a proxy says when nobody is behind it
_AGAIN = (408, 409, 425, 429, 500, *_GONE)  # 409: another conditional write at the same time

Result = TypeVar("Result")


class _BeyondError(BucketError):
    """The object ends before the range does."""


class S3Bucket:
    """A bucket on S3; `local_path` is always None. Versions are ETags.

    Where a store has no ETags, the time of the last change is the version.

    Every call ends within its budget (see `Patience`), and fails at once while the store is known not to answer.
    Connections belong to the process that made them: a bucket may be used before and after a fork.

    `write_if` leaves the condition to the store. Some stores ignore it (rclone): there only a look before the write
    holds a writer back, and of two that write at the same moment the later one wins.
    """

    def __init__(
        self,
        settings: Settings,
        patience: Patience | None = None,
        *,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`clock` and `sleep` are for deadlines and pauses. Raises BucketError when the settings do not fit."""
        if settings.s3_bucket_name is None:
            raise BucketError("S3_BUCKET_NAME is not set")
        if (settings.aws_access_key_id is None) != (settings.aws_secret_access_key is None):
            raise BucketError("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither")
        self.name = settings.s3_bucket_name
        # Named always: boto3 would sign addresses of AWS for a host that knows new buckets in one region only.
        self.endpoint = settings.s3_endpoint_url or f"https://s3.{settings.aws_region}.amazonaws.com"
        self._settings = settings
        self._patience = patience or Patience()
        self._clock, self._sleep = clock, sleep
        self._limits = threading.local()
        # One of this process, by its id.
        self._processes: dict[int, _Process] = {}

    def __str__(self) -> str:
        return f"bucket {self.name} at {self.endpoint}"

    def list(self, prefix: str = "") -> dict[str, ObjectInfo]:
        found: dict[str, ObjectInfo] = {}
        page: dict[str, Any] = {}
        while not page or page.get("IsTruncated"):
            more = {"ContinuationToken": page["NextContinuationToken"]} if page else {}
            page = self._ask("the list of objects", "list_objects_v2", Prefix=prefix, Delimiter="/", **more)
            for entry in page.get("Contents", ()):
                if is_object_name(entry["Key"]):
                    found[entry["Key"]] = ObjectInfo(
                        entry["Size"], _version(entry.get("ETag", ""), entry["LastModified"])
                    )
        return dict(sorted(found.items()))

    def info(self, name: str) -> ObjectInfo:
        answer = self._ask(name, "head_object", Key=check_name(name))
        return ObjectInfo(answer["ContentLength"], _version(answer.get("ETag", ""), answer["LastModified"]))

    def _found(self, name: str) -> ObjectInfo | None:
        with contextlib.suppress(NotFoundError):
            return self.info(name)
        return None

    def read(self, name: str) -> bytes:
        check_name(name)

        def attempt(store: Store, limits: Limits) -> bytes:
            with self._got(store, name, {}, limits) as response:
                if response.status != 200:
                    raise self._refusal(name, response.status, _code(response), response.headers)
                return read_body(response, None, self._clock, limits)

        return self._within_budget(name, attempt)

    def read_range(self, name: str, offset: int, length: int, version: str) -> bytes:
        check_name(name)
        if length == 0:
            return self._no_bytes(name, version)
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        if not version.startswith(_MODIFIED):
            headers["If-Match"] = f'"{version}"'

        def attempt(store: Store, limits: Limits) -> bytes:
            with self._got(store, name, headers, limits) as response:
                if response.status == 416:
                    raise _BeyondError(f"{name} ends before byte {offset}")
                if response.status not in (200, 206):
                    raise self._refusal(name, response.status, _code(response), response.headers)
                if _version_of(response.headers) != version:
                    raise _changed(name)
                self._check_range(name, offset, length, response)
                return read_body(response, length, self._clock, limits)

        try:
            return self._within_budget(name, attempt, moved=length)
        except _BeyondError:
            found = self.info(name)
            if found.version != version:
                raise _changed(name) from None
            raise BucketError(f"{name} has {found.size} bytes, {length} from byte {offset} were asked for") from None

    def local_path(self, name: str) -> Path | None:
        check_name(name)
        return None

    def put(self, name: str, path: Path) -> None:
        check_name(name)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size <= PART_BYTES:
                    self._store(name, file.read())
                else:
                    self._put_parts(name, file.fileno(), size)
        except OSError as error:
            raise BucketError(f"{name}: {path.name} cannot be read: {error.strerror or error}") from error
        stored = self.info(name)
        if stored.size != size:
            raise BucketError(f"{name} at {self.endpoint} has {stored.size} bytes after {size} were put")
        path.unlink()

    def write(self, name: str, content: bytes) -> None:
        self._store(check_name(name), content)

    def write_if(self, name: str, content: bytes, version: str | None) -> bool:
        check_name(name)
        found = self._found(name)
        if (found.version if found else None) != version:
            return False
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": f'"{version}"'}
        attempts = 0

        def attempt(store: Store, _limits: Limits) -> None:
            nonlocal attempts
            attempts += 1
            self._boto(name, store.client.put_object, Key=name, Body=content, ContentMD5=_md5(content), **condition)

        try:
            self._within_budget(name, attempt, moved=len(content), writes=True)
        except (ObjectChangedError, NotFoundError):
            # The first attempt may have been stored and only its answer lost.
            return attempts > 1 and self.read(name) == content
        return True

    def delete(self, name: str) -> None:
        check_name(name)
        with contextlib.suppress(NotFoundError):
            self._ask(name, "delete_object", Key=name)

    # --- Calls

    def _ask(self, what: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """What the store answers to a small call of boto3."""
        return self._within_budget(
            what, lambda store, _: self._boto(what, getattr(store.client, operation), **parameters)
        )

    def _within_budget(
        self,
        what: str,
        attempt: Callable[[Store, Limits], Result],
        *,
        moved: int = 0,
        writes: bool = False,
        seconds: float | None = None,
    ) -> Result:
        """The result of `attempt`, made again while it raises TryAgainError and the call has time.

        The call has the `seconds` of a small one, and more for the bytes that are `moved`.
        """
        patience, process = self._patience, self._here()
        started = self._clock()
        budget = (seconds or patience.call_seconds) + moved / patience.bytes_per_second
        limits = Limits(started + budget, patience.write_seconds if writes else patience.read_seconds)
        self._limits.now = limits  # for what boto3 sends
        attempts = 0
        answered = False
        with process.breaker.call(str(self)) as outcome:
            while True:
                attempts += 1
                try:
                    result = attempt(process.store(self._connect), limits)
                    outcome.answered = True
                    return result
                except TryAgainError as error:
                    answered |= error.answered
                    pause = max(error.wait_seconds, patience.pause(attempts) * random.uniform(0.5, 1.0))
                    if self._clock() + pause >= limits.deadline:
                        outcome.answered = answered
                        spent = self._clock() - started
                        raise BucketError(
                            f"{what} at {self.endpoint}: given up after {attempts} attempts in {spent:.1f} s, "
                            f"the last: {error}"
                        ) from error
                    log.info("%s at %s: attempt %d: %s", what, self.endpoint, attempts, error)
                except (BucketError, NotFoundError):
                    outcome.answered = True
                    raise
                self._sleep(pause)

    def _boto(self, what: str, operation: Callable[..., dict[str, Any]], **parameters: Any) -> dict[str, Any]:
        """One attempt of a call of boto3."""
        with self._our_errors(what):
            return operation(Bucket=self.name, **parameters)

    @contextlib.contextmanager
    def _our_errors(self, what: str) -> Iterator[None]:
        """Errors of boto3 as ours."""
        try:
            yield
        except ClientError as error:
            answer = error.response["ResponseMetadata"]
            code = error.response.get("Error", {}).get("Code", "")
            raise self._refusal(what, answer["HTTPStatusCode"], code, answer["HTTPHeaders"]) from error
        except ResponseParserError as error:
            raise TryAgainError(f"an answer that cannot be read ({error})", answered=True) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise BucketError(
                f"there are no keys for {self}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        except BotoCoreError as error:
            raise BucketError(f"{what} at {self.endpoint}: {error}") from error

    def _refusal(self, what: str, status: int, code: str, headers: Any) -> Exception:
        """What an answer that is no success means."""
        said = f"{status} {code}".strip()
        if code == "NoSuchBucket":
            return BucketError(f"there is no bucket {self.name} at {self.endpoint}; see S3_BUCKET_NAME")
        if status == 404:
            return NotFoundError(f"{what} is not in the bucket")
        if status == 412:
            return _changed(what)
        if status in (401, 403) or code in ("AuthorizationHeaderMalformed", "InvalidAccessKeyId"):
            return BucketError(
                f"{what}: {self.endpoint} refuses the keys for bucket {self.name} ({said}); "
                "see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"
            )
        if status in _AGAIN:
            return TryAgainError(said, answered=status not in _GONE, wait_seconds=_seconds(headers))
        if 300 <= status < 400:
            region = headers.get("x-amz-bucket-region", "another region")
            return BucketError(f"bucket {self.name} is elsewhere ({said}), in {region}; see AWS_REGION")
        return BucketError(f"{what}: {self.endpoint} answers {said}")

    def _here(self) -> _Process:
        """What this process has of the store; a child of the process that made it begins anew."""
        process = self._processes.get(os.getpid())
        if process is None:
            # Setting a default is atomic, so all threads get the same one.
            process = self._processes.setdefault(
                os.getpid(), _Process(Breaker(self._patience.rest_seconds, self._clock))
            )
            for other in [pid for pid in self._processes if pid != os.getpid()]:
                self._processes.pop(other, None)
        return process

    def _connect(self) -> Store:
        with self._our_errors("the client"):
            return Store(self.endpoint, self._settings, self._patience, self._clock, lambda: self._limits.now)

    # --- Reading

    @contextlib.contextmanager
    def _got(
        self, store: Store, name: str, headers: dict[str, str], limits: Limits
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to a GET, its body not read. What is left of it at the end costs the connection."""
        now = self._clock()
        signed = store.signed.get(name)
        is_new = signed is None or signed.until < now
        if signed is None or is_new:
            signed = Signed(self._sign(store, name), now + _REUSED_SECONDS)
            if len(store.signed) >= _SIGNED_ADDRESSES:
                store.signed.clear()
            store.signed[name] = signed
        response = store.send("GET", signed.address, headers, None, limits)
        try:
            if response.status == 403 and not is_new:
                # Keys of a role are replaced now and then.
                store.signed.pop(name, None)
                raise TryAgainError("403 for an address signed earlier", answered=True)
            yield response
        finally:
            release(response)

    def _sign(self, store: Store, name: str) -> str:
        with self._our_errors(name):
            address: str = store.client.generate_presigned_url(
                "get_object", Params={"Bucket": self.name, "Key": name}, ExpiresIn=_SIGNED_SECONDS
            )
            return address

    def _check_range(self, name: str, offset: int, length: int, response: urllib3.BaseHTTPResponse) -> None:
        """Raise BucketError, before the body is read, when it is not the range that was asked for."""
        size = response.headers.get("Content-Length")
        described = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if described is None:
            # Without a description the bytes are known to be the right ones only where the range begins the object.
            if response.status == 200 and offset == 0 and size == str(length):
                return
            raise BucketError(
                f"{name}: the store does not answer ranges, {self.endpoint} sends {size} bytes ({response.status}) "
                f"where {length} from byte {offset} were asked for"
            )
        first, last, total = described.groups()
        if int(first) == offset and int(last) < offset + length - 1:
            raise _BeyondError(f"{name} has {total} bytes")
        if (int(first), int(last)) != (offset, offset + length - 1):
            raise TryAgainError(f"bytes {first} to {last} instead of {length} from {offset}", answered=True)
        if size is not None and size != str(length):
            raise TryAgainError(f"a length of {size} bytes for a range of {length}", answered=True)

    def _no_bytes(self, name: str, version: str) -> bytes:
        if self.info(name).version != version:
            raise _changed(name)
        return b""

    # --- Writing

    def _store(self, name: str, content: bytes) -> None:
        self._within_budget(
            name,
            lambda store, _: self._boto(
                name, store.client.put_object, Key=name, Body=content, ContentMD5=_md5(content)
            ),
            moved=len(content),
            writes=True,
        )

    def _put_parts(self, name: str, file: int, size: int) -> None:
        """Upload an open file in parts; they become the object when all are there, or are thrown away."""
        replaced = self._found(name)
        upload = self._ask(name, "create_multipart_upload", Key=name)["UploadId"]
        offsets = range(0, size, PART_BYTES)
        try:
            with ThreadPoolExecutor(_UPLOADS, "upload") as pool:
                try:
                    uploads = [
                        pool.submit(self._put_part, name, upload, number, file, offset)
                        for number, offset in enumerate(offsets, 1)
                    ]
                    etags = [part.result() for part in uploads]
                finally:
                    pool.shutdown(wait=True, cancel_futures=True)
            self._complete(name, upload, etags, size, replaced.version if replaced else None)
        except BaseException:
            try:
                self._ask(name, "abort_multipart_upload", Key=name, UploadId=upload)
            except (BucketError, NotFoundError) as error:
                log.warning("upload %s of %s is left unfinished in %s: %s", upload, name, self, error)
            raise

    def _put_part(self, name: str, upload: str, number: int, file: int, offset: int) -> str:
        content = os.pread(file, PART_BYTES, offset)
        answer = self._within_budget(
            f"part {number} of {name}",
            lambda store, _: self._boto(
                name,
                store.client.upload_part,
                Key=name,
                UploadId=upload,
                PartNumber=number,
                Body=content,
                ContentMD5=_md5(content),
            ),
            moved=len(content),
            writes=True,
        )
        etag: str = answer["ETag"]
        return etag

    def _complete(self, name: str, upload: str, etags: Sequence[str], size: int, replaced: str | None) -> None:
        """Make the parts the object, in the place of the version `replaced`."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        try:
            self._within_budget(
                name,
                lambda store, _: self._boto(
                    name,
                    store.client.complete_multipart_upload,
                    Key=name,
                    UploadId=upload,
                    MultipartUpload={"Parts": parts},
                ),
                writes=True,
                seconds=_COMPLETE_SECONDS,
            )
        except NotFoundError:
            # The upload is complete already when only the answer to an earlier attempt was lost.
            found = self._found(name)
            if found is None or found.size != size or found.version == replaced:
                raise BucketError(f"{name} at {self.endpoint}: the store has dropped its upload") from None


class _Process:
    """What one process has of the store: nothing of it may cross a fork."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self._lock = threading.Lock()  # one client is made, however many threads come first
        self._store: Store | None = None

    def store(self, connect: Callable[[], Store]) -> Store:
        if self._store is None:
            with self._lock:
                self._store = self._store or connect()
        return self._store


def _version(etag: str, modified: datetime.datetime | None) -> str:
    """The ETag, or where a store has none the time of the last change, to the second."""
    found = etag.removeprefix("W/").strip('"')
    if not found and modified is not None:
        found = f"{_MODIFIED}{int(modified.timestamp())}"
    if not found:
        raise BucketError("the store gives neither ETags nor times: parts of two objects could be mixed")
    return found


def _version_of(headers: Any) -> str:
    modified = headers.get("Last-Modified")
    return _version(headers.get("ETag", ""), email.utils.parsedate_to_datetime(modified) if modified else None)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _changed(name: str) -> ObjectChangedError:
    return ObjectChangedError(f"{name} in the bucket was replaced while it was read")


def _code(response: urllib3.BaseHTTPResponse) -> str:
    """The S3 error code in an answer."""
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        if found := _CODE.search(response.read(4096)):
            return found[1].decode()
    return ""


def _seconds(headers: Any) -> float:
    """Seconds to wait that an answer asks for; 0 where it does not or names a date."""
    asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(asked) if asked.isdecimal() else 0.0
