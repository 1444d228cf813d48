"""Connections to an S3 store: boto3's client for what is built, signed and parsed, and urllib3 for what is sent."""

from __future__ import annotations

import io
import logging
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

import boto3
import botocore.session  # type: ignore[import-untyped]
import urllib3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.httpsession import get_cert_path  # type: ignore[import-untyped]
from botocore.utils import get_environ_proxies  # type: ignore[import-untyped]

from settings import Settings
from store.patience import Patience

CONNECTIONS = 40  # at once, of one process: those of the ranged reads, and some for small calls
_CHUNK = 2**20
_SENT_AT_ONCE = 2**18  # within the time that connecting may take

Clock = Callable[[], float]


class TryAgainError(Exception):
    """An attempt has failed in a way that another one may not; `answered` where the store has said anything."""

    def __init__(self, reason: str, *, answered: bool, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.answered = answered
        self.wait_seconds = wait_seconds


class Limits(NamedTuple):
    """When a call ends (of the clock), and how many seconds may pass without a byte."""

    deadline: float
    silence: float


class Signed(NamedTuple):
    address: str
    until: float


class Store:
    """boto3's client, and the connections that it and the ranged reads share."""

    def __init__(
        self,
        endpoint: str,
        settings: Settings,
        patience: Patience,
        clock: Clock,
        limits: Callable[[], Limits],
    ) -> None:
        """`limits` gives those of the call that the current thread is in."""
        self.signed: dict[str, Signed] = {}
        self._patience, self._clock, self._limits = patience, clock, limits
        core = botocore.session.Session()
        session = boto3.session.Session(botocore_session=core)
        secret, token = settings.aws_secret_access_key, settings.aws_session_token
        host = urllib3.util.parse_url(endpoint).host or ""
        # A host name with the bucket's dots would fit no certificate.
        has_own_host = "amazonaws.com" in host and "." not in (settings.s3_bucket_name or "")
        self.client = session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=settings.aws_region,
            aws_access_key_id=settings.aws_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            aws_session_token=token.get_secret_value() if token else None,
            config=Config(
                # The deadline counts here, which boto3's own repetitions do not know.
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=patience.connect_seconds,
                read_timeout=patience.read_seconds,
                max_pool_connections=CONNECTIONS,
                tcp_keepalive=True,
                signature_version="s3v4",
                # Other stores know neither the newer checksums nor a host for each bucket.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "virtual" if has_own_host else "path"},
            ),
        )
        self.client.meta.events.register("before-send.s3", self._send_for_boto)
        self._pools = _connections(endpoint, core.get_config_variable("ca_bundle"))

    def send(
        self, method: str, url: str, headers: dict[str, Any], body: _Outgoing | None, limits: Limits
    ) -> urllib3.BaseHTTPResponse:
        """The answer, its body not read. Raises TryAgainError when none comes in time."""
        remaining = limits.deadline - self._clock()
        if remaining <= 0.0:
            raise TryAgainError("no time is left", answered=False)
        timeout = urllib3.Timeout(
            connect=min(self._patience.connect_seconds, remaining), read=min(limits.silence, remaining)
        )
        try:
            return self._pools.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                timeout=timeout,
                pool_timeout=remaining,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.EmptyPoolError as error:
            raise TryAgainError(f"all {CONNECTIONS} connections are in use", answered=True) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TryAgainError(_reason(error), answered=False) from error

    def _send_for_boto(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Sends what boto3 has built and signed. Its own session is not asked when there is an answer here."""
        limits = self._limits()
        # The body follows at once, so the server must not be asked for leave.
        headers = {name: value for name, value in request.headers.items() if name != "Expect"}
        body = None if request.body is None else _Outgoing(request.body, self._clock, limits)
        response = self.send(request.method, request.url, headers, body, limits)
        try:
            content = read_body(response, None, self._clock, limits)
        finally:
            release(response)
        return AWSResponse(request.url, response.status, response.headers, _Body(content))


class _Outgoing:
    """A body that is sent in pieces, none of them after the deadline."""

    def __init__(self, body: bytes | BinaryIO, clock: Clock, limits: Limits) -> None:
        self._body = io.BytesIO(body) if isinstance(body, bytes) else body
        self._clock, self._limits = clock, limits
        self._sent = 0

    def read(self, size: int) -> bytes:
        if self._clock() > self._limits.deadline:
            raise TryAgainError(f"{self._sent} bytes were sent when the time was over", answered=False)
        piece = self._body.read(size)
        self._sent += len(piece)
        return piece


def _connections(endpoint: str, certificates: str | None) -> urllib3.PoolManager:
    # It logs addresses, and those of ranged reads are signed: who has one may read for an hour.
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "num_pools": 4,
        "maxsize": CONNECTIONS,
        "block": True,
        "blocksize": _SENT_AT_ONCE,
        "ca_certs": certificates or get_cert_path(True),
        "socket_options": [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        ],
    }
    proxy = get_environ_proxies(endpoint).get(endpoint.partition(":")[0])
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


class _Body:
    """A body that has been read, as boto3 reads one."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


def read_body(response: urllib3.BaseHTTPResponse, length: int | None, clock: Clock, limits: Limits) -> bytes:
    """The body, of `length` bytes when given. Raises TryAgainError when it is shorter or does not come in time."""
    chunks = []
    got = 0
    try:
        while chunk := response.read1(_CHUNK):
            chunks.append(chunk)
            got += len(chunk)
            if got != length and clock() > limits.deadline:
                raise TryAgainError(f"{got} bytes when the time was over", answered=True)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TryAgainError(f"after {got} bytes of the body: {_reason(error)}", answered=True) from error
    if length is not None and got != length:
        raise TryAgainError(f"{got} bytes instead of {length}", answered=True)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def release(response: urllib3.BaseHTTPResponse) -> None:
    """Give the connection back; with bytes still to come it is closed, not read to the end."""
    if response.length_remaining != 0:
        response.close()
    response.release_conn()


def _reason(error: Exception) -> str:
    """What went wrong, without the objects that urllib3 names in its messages."""
    reason = error.args[-1] if error.args else error
    return str(reason) if isinstance(reason, Exception) else re.sub(r"<[^>]*>:? ?", "", str(reason))
