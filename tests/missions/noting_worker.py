"""A worker that notes each chunk of a search that it flies: `python -m tests.missions.noting_worker FILE`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from habsim.reverse import Chunk, fly_chunk
from habsim.reverse import plan as plans
from missions import reversejob

CHUNK_FLIGHTS = 100
CHUNK_SECONDS = 0.1


def main() -> int:
    import worker

    notes = Path(sys.argv.pop())

    def noted(simulators: Any, chunk: Chunk) -> Any:
        with notes.open("a") as file:
            file.write(f"{chunk.index}\n")
        time.sleep(CHUNK_SECONDS)
        return fly_chunk(simulators, chunk)

    plans._CHUNK_FLIGHTS = CHUNK_FLIGHTS
    vars(reversejob)["fly_chunk"] = noted
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
