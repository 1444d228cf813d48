"""A job type of tests only, and a worker that knows it: `python -m tests.missions.jobs_for_tests`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from habsim.errors import BadRequestError, UnavailableError, WindFileError
from missions import jobtypes
from missions.jobtypes import JOB_TYPES, Result
from simulate import Orchestrator
from tests.faults import wait_until


class Sums:
    """Adds numbers in chunks. The config says how many, how long each takes, what goes wrong, and where to note it.

    Every chunk that is computed adds a line to the file `notes`, so a test sees what was done twice.
    """

    name = "reverse"
    lane = "reverse"

    def checked(self, config: dict[str, Any]) -> dict[str, Any]:
        if config["chunks"] > 1000:
            raise BadRequestError(f"{config['chunks']} chunks, the limit is 1000")
        return config

    def plan(self, config: dict[str, Any], orchestrator: Orchestrator) -> dict[str, Any]:
        return jobtypes.with_cycle(config, orchestrator)

    def chunks(self, plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
        return [{**plan, "number": number} for number in range(plan["chunks"])]

    def run_chunk(self, spec: dict[str, Any], orchestrator: Orchestrator) -> bytes:
        jobtypes.cycle_of(spec, orchestrator)
        if "notes" in spec:
            with Path(spec["notes"]).open("a") as notes:
                notes.write(f"{spec['number']}\n")
        time.sleep(spec.get("seconds", 0.0))
        match spec.get("wrong"):
            case "bug":
                raise ZeroDivisionError("what nobody thought of")
            case "passing" if not Path(spec["until"]).exists():
                raise UnavailableError("the store is down")
            case "damaged":
                raise WindFileError("the wind file is damaged")
            case "disk":
                raise OSError(spec["errno"], os.strerror(spec["errno"]))
            case "hanging":
                wait_until(Path(spec["until"]).exists, "it may go on")
            case "final":
                raise BadRequestError("it cannot be done")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        return orjson.dumps({"sum": spec["number"], "pid": os.getpid()})

    def combine(self, plan: dict[str, Any], results: Iterable[bytes]) -> Result:
        found = [orjson.loads(result) for result in results]
        content = {
            "sums": [result["sum"] for result in found],
            "pids": sorted({result["pid"] for result in found}),
            "padding": os.urandom(plan.get("padding", 0)).hex(),
        }
        return Result(orjson.dumps(content), {"cycle": plan["cycle"]})


TYPES = {**JOB_TYPES, "reverse": Sums()}


def main() -> None:
    JOB_TYPES["reverse"] = Sums()
    import worker

    worker.main()


if __name__ == "__main__":
    main()
