"""How fast forecasts of NOAA become wind files: full-resolution messages from a stand-in server to a bucket.

A few fields are encoded as NCEP packs its own, and every message of the cycle is made of them.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import re
import resource
import struct
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import eccodes
import numpy as np
import numpy.typing as npt

from bench.table import Row
from forecasts import assembly, grib, noaa
from forecasts.assembly import Found, StepJob
from forecasts.httpfiles import HttpFiles
from forecasts.ingest import Decoders, Ingest, Order
from forecasts.noaa import FULL
from habsim.atmosphere import altitude
from store.bucket import LocalBucket
from store.manifest import cycle_start
from tests import gribs, noaa_server

CYCLE = noaa_server.CYCLE
PROCESSES = 2
# Sizes of real files of the control member: pgrb2a of 2025-08-01 00Z at 432 h, pgrb2b at 3 h.
FILE_BYTES = {"pgrb2a": 14_660_000, "pgrb2b": 100_400_000}
_OTHERS_BYTES = 400_000  # temperature, humidity and vertical wind that lie between height and wind of a level
_SAMPLE_SECONDS = 0.05


def rows(data_dir: Path) -> Iterator[Row]:
    data_dir.mkdir(parents=True, exist_ok=True)
    yield from _one_message()
    with tempfile.TemporaryDirectory(prefix="bench-ingest-", dir=data_dir) as folder:
        yield from _decode_and_pack(Path(folder))
    with tempfile.TemporaryDirectory(prefix="bench-ingest-", dir=data_dir) as folder:
        yield from _whole_way(Path(folder))


def _one_message() -> Iterator[Row]:
    content = Template("UGRD").message("UGRD", 500)

    def bare() -> None:
        handle = eccodes.codes_new_from_message(content)
        eccodes.codes_get_values(handle)
        eccodes.codes_release(handle)

    def ours() -> None:
        grib.decode(content)

    for what, work in (("eccodes alone", bare), ("checked and as the wind file has it", ours)):
        work()
        began = time.perf_counter()
        for _ in range(50):
            work()
        yield Row(f"decode a message of {len(content) // 1000} kB, one core: {what}", f"{_ms(began, 50):.2f} ms")


def _ms(began: float, times: int) -> float:
    return (time.perf_counter() - began) / times * 1000


def _decode_and_pack(folder: Path) -> Iterator[Row]:
    """One member of the full product from messages on disk."""
    raw, found, position = folder / "messages", [], 0
    templates = {variable: Template(variable) for variable in ("UGRD", "VGRD", "HGT")}
    with raw.open("wb") as file:
        for variable, level in FULL.wanted:
            content = templates[variable].message(variable, level)
            file.write(content)
            found.append(Found(position, len(content), ((variable, level),)))
            position += len(content)
    run = int(cycle_start(CYCLE))
    steps = [folder / f"step_{step:03d}.winds" for step in FULL.steps_hours]
    before = _processor_seconds()
    decoders = Decoders(PROCESSES)
    try:
        decoders.decode(StepJob(raw, tuple(found), FULL, run, 0, 0, steps[0]))  # starts the processes
        began = time.perf_counter()
        with ThreadPoolExecutor(PROCESSES + 2) as pool:
            list(pool.map(decoders.decode, [StepJob(raw, tuple(found), FULL, run, 0, 0, step) for step in steps]))
        decoded = time.perf_counter()
    finally:
        decoders.close()
    assembly.assemble(steps, FULL, folder / "member.npz", run, {})
    ended = time.perf_counter()
    count = len(FULL.wanted) * len(steps)
    yield Row(f"decode {count} messages in {PROCESSES} processes", f"{count / (decoded - began):.0f} messages/s")
    size = (folder / "member.npz").stat().st_size
    yield Row(f"assemble a member of {size / 1e9:.2f} GB from its steps, durable", f"{ended - decoded:.1f} s")
    yield Row("decode and pack together", f"{count / (ended - began):.0f} messages/s", ">= 200 messages/s")
    used = _processor_seconds() - before
    yield Row(
        f"the same for each second of {PROCESSES} cores that it was given", f"{count / used * PROCESSES:.0f} messages/s"
    )


def _processor_seconds() -> float:
    """Processor time of this process and of those it started that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _whole_way(folder: Path) -> Iterator[Row]:
    """Two members of the full product from the server to the bucket, in processes of their own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    base = ours.recv()
    members = (0, 1)
    answers, results = context.Pipe(duplex=False)
    client = context.Process(target=_publish, args=(base, folder, members, results))
    began = time.perf_counter()
    client.start()
    assert client.pid is not None
    peak = 0.0
    while not answers.poll(_SAMPLE_SECONDS) and client.is_alive():
        peak = max(peak, _memory_mb(client.pid))
    seconds, received = answers.recv()
    client.join()
    ours.send("stop")
    server.join()
    count = len(FULL.wanted) * len(FULL.steps_hours) * len(members)
    whole = sum(FILE_BYTES.values()) * len(FULL.steps_hours) * len(members)
    yield Row(
        f"{len(members)} members from the server into the bucket, the server on the same cores",
        f"{seconds:.0f} s, {count / seconds:.0f} messages/s",
    )
    yield Row("peak memory of all processes together", f"{peak:.0f} MB", "<= 1500 MB")
    yield Row("bytes fetched against whole files", f"{received / whole:.1%}", "<= 25 %")
    yield Row("starting and ending the processes", f"{time.perf_counter() - began - seconds:.1f} s")


def _publish(
    base: str, folder: Path, members: tuple[int, ...], results: multiprocessing.connection.Connection[object, object]
) -> None:
    source = noaa.source_named("aws", base)
    began = time.perf_counter()
    with HttpFiles(source.connections) as files, Ingest(source, files, folder / "work", processes=PROCESSES) as ingest:
        ingest.publish(Order(CYCLE, members, FULL), LocalBucket(folder / "bucket"))
        results.send((time.perf_counter() - began, files.received))


def _memory_mb(process: int) -> float:
    """Resident memory of a process and its children."""
    total = 0.0
    try:
        total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += _memory_mb(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return total  # it has just ended
    return total


# --- The stand-in


class Template:
    """A field at full resolution, packed as NCEP does, that lends its values to messages of any level and step."""

    def __init__(self, variable: str, rows: int = FULL.rows, columns: int = FULL.columns) -> None:
        random = np.random.default_rng(len(variable))
        latitude, longitude = np.linspace(90, -90, rows)[:, None], np.arange(columns)[None, :] * (360 / columns)
        values = gribs.truth(variable, 500, 6, latitude, longitude) + _weather(random, rows, columns)
        values -= float(altitude(500)) if variable == "HGT" else 0.0
        self._parts = gribs.sections(_encoded(variable, np.round(values, 2)))

    def message(self, variable: str, level: float) -> bytes:
        """The field as that of member 0 at step 0 of another level."""
        head = gribs.sections(gribs.message(variable=variable, level=level, member=0))
        parts = [
            part if part[4] not in (1, 4) else next(h for h in head[1:] if h[4] == part[4])
            for part in self._parts[1:-1]
        ]
        if variable == "HGT":
            # Values are (reference + ...) / 10^0 (FM 92, template 5.0): the reference lifts all of them.
            i = next(i for i, part in enumerate(parts) if part[4] == 5)
            (reference,) = struct.unpack_from(">f", parts[i], 11)
            parts[i] = parts[i][:11] + struct.pack(">f", reference + float(altitude(level))) + parts[i][15:]
        return gribs.from_sections([self._parts[0], *parts, self._parts[-1]])


def _weather(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Waves of all lengths, 3 m/s (or metres) strong."""
    wave = np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.fftfreq(columns)[None, :] ** 2
    noise = np.fft.ifft2(np.fft.fft2(random.standard_normal((rows, columns))) / (1 + 2e4 * wave)).real
    return np.asarray(noise * (3 / noise.std()))


def _encoded(variable: str, values: npt.NDArray[np.float64]) -> bytes:
    """`gribs.message` of these values; the scanning order is that of the array."""
    rows, columns = values.shape
    handle = eccodes.codes_new_from_message(
        gribs.message(variable=variable, rows=rows, columns=columns, member=0, values=values)
    )
    try:
        eccodes.codes_set(handle, "packingType", gribs.SPATIAL)
        eccodes.codes_set(handle, "bitsPerValue", 13)
        eccodes.codes_set_values(handle, values.ravel())
        encoded: bytes = eccodes.codes_get_message(handle)
        return encoded
    finally:
        eccodes.codes_release(handle)


@dataclass(frozen=True)
class _Layout:
    """A file of one kind: its bytes for member 0 and step 0, where sections 4 begin, and what its inventory names."""

    content: bytes
    sections: tuple[int, ...]
    entries: tuple[tuple[str, str, int], ...]  # variable, level, first byte


@dataclass(frozen=True)
class _File:
    """The file of a member and step: that of member 0 and step 0 with other headers, made as it is read."""

    layout: _Layout
    member: int
    step: int

    def __len__(self) -> int:
        return len(self.layout.content)

    def __getitem__(self, part: slice, /) -> bytes:
        first, last, _ = part.indices(len(self))
        content = bytearray(memoryview(self.layout.content)[first:last])
        kind = gribs.PERTURBED if self.member else gribs.CONTROL
        for section in self.layout.sections:
            start = section - first
            if start >= 0 and start + 36 <= len(content):
                # Template 4.1: octets 19-22 are the step, 35 the type of the member, 36 its number.
                content[start + 18 : start + 22] = self.step.to_bytes(4, "big")
                content[start + 34 : start + 36] = bytes((kind, self.member))
        return bytes(content)


def _layout(kind: str) -> _Layout:
    templates = {variable: Template(variable) for variable in ("UGRD", "VGRD", "HGT")}
    content, sections, entries = bytearray(), [], []

    def add(variable: str, level: float) -> None:
        message = templates[variable].message(variable, level)
        sizes = [len(part) for part in gribs.sections(message)]
        numbers = [0, *(part[4] for part in gribs.sections(message)[1:-1])]
        sections.append(len(content) + sum(sizes[: numbers.index(4)]))
        entries.append((variable, f"{level:g} mb", len(content)))
        content.extend(message)

    def fill(size: int) -> None:
        entries.append(("TMP", "surface", len(content)))
        content.extend(bytes(size))

    for level in noaa.LEVELS_A if kind == "pgrb2a" else (*noaa.LEVELS_B, 400):
        if (kind, level) != ("pgrb2a", 400):
            add("HGT", level)
        fill(_OTHERS_BYTES if kind == "pgrb2b" else _OTHERS_BYTES // 3)
        if (kind, level) != ("pgrb2b", 400):
            add("UGRD", level)
            add("VGRD", level)
    fill(max(0, FILE_BYTES[kind] - len(content)))
    return _Layout(bytes(content), tuple(sections), tuple(entries))


def _serve(pipe: multiprocessing.connection.Connection[object, object]) -> None:
    layouts = {kind: _layout(kind) for kind in FULL.kinds}

    def content(path: str) -> noaa_server.Bytes | None:
        match = re.search(r"/ge(c00|p\d\d)\.t..z\.(pgrb2[ab])\.0p50\.f(\d{3})(\.idx)?$", path)
        if match is None:
            return None
        layout, member, step = layouts[match[2]], 0 if match[1] == "c00" else int(match[1][1:]), int(match[3])
        if match[4]:
            when = f"{step} hour fcst" if step else "anl"
            lines = enumerate(layout.entries, 1)
            return "".join(f"{i}:{at}:d={CYCLE}:{name}:{level}:{when}:ENS\n" for i, (name, level, at) in lines).encode()
        return _File(layout, member, step)

    with noaa_server.NoaaServer(content) as server:
        pipe.send(server.base)
        pipe.recv()
