"""A whole search in this process: its chunks on some cores, with progress and a way to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from habsim.classes import Simulator
from habsim.errors import StoppedError
from habsim.reverse.flights import ChunkResult, fly_chunk
from habsim.reverse.plan import Chunk, Plan, chunks
from habsim.reverse.results import SearchResult, combine


def _never() -> bool:
    return False


def _unheard(_done: int, _total: int) -> None:
    pass


def fly_chunks(
    simulators: Mapping[int, Simulator],
    wanted: Iterable[Chunk],
    *,
    cancelled: Callable[[], bool] = _never,
    threads: int = 1,
) -> Iterator[ChunkResult]:
    """Fly chunks on `threads` cores, and give each result as it is ready, in any order.

    Raises StoppedError when `cancelled` says so, which is asked before each chunk.
    """
    remaining = iter(wanted)
    running: set[Future[ChunkResult]] = set()
    with ThreadPoolExecutor(threads, thread_name_prefix="search") as pool:
        while True:
            for chunk in remaining:
                if cancelled():
                    raise StoppedError(f"the search was cancelled before chunk {chunk.index}")
                running.add(pool.submit(fly_chunk, simulators, chunk))
                if len(running) >= threads:
                    break
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def search(
    plan: Plan,
    simulators: Mapping[int, Simulator],
    *,
    kept: Iterable[ChunkResult] = (),
    progress: Callable[[int, int], None] = _unheard,
    cancelled: Callable[[], bool] = _never,
    threads: int = 1,
) -> SearchResult:
    """Search with the simulators of all members. Chunks whose result was `kept` are not flown again.

    `progress` is told how many chunks are done, of how many, after each. Raises what `estimate`, `combine` and
    `fly_chunks` raise.
    """
    members = sorted(simulators)
    every = list(chunks(plan, members))
    before = {result.index: result for result in kept}

    def results() -> Iterator[ChunkResult]:
        yield from before.values()
        missing = [chunk for chunk in every if chunk.index not in before]
        flown = fly_chunks(simulators, missing, cancelled=cancelled, threads=threads)
        for done, result in enumerate(flown, len(before) + 1):
            progress(done, len(every))
            yield result

    return combine(plan, members, results())
