"""Result files that no row names: of simulations that are deleted, and of workers killed before they could say so."""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from itertools import islice

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from habsim.errors import BucketError
from missions.database import Database
from missions.models import COMPLETED, LIVE, Simulation
from missions.results import Results, written_by

log = logging.getLogger(__name__)

_AT_A_TIME = 500  # rows that are asked for together


def deleted(session: Session, which: ColumnElement[bool]) -> set[uuid.UUID]:
    """Delete simulations; those that may have files, which are to be removed once that is committed."""
    columns = (Simulation.id, Simulation.fence, Simulation.status, Simulation.result_reference)
    removal = delete(Simulation).where(which).returning(*columns).execution_options(synchronize_session=False)
    may_have = set()
    for simulation_id, fence, status, reference in session.execute(removal):
        # The one worker that had it put the result into the row, or nobody has had it.
        has_none = reference is None and (fence == 0 or (fence == 1 and status == COMPLETED))
        if not has_none:
            may_have.add(simulation_id)
    return may_have


def sweep(database: Database, results: Results) -> int:
    """Remove the files that their row does not name and will not; how many. Raises DatabaseError, BucketError.

    Those of simulations that the database does not know stay, and those of later fences than it knows. It may not be
    the one that they belong to: an address may be mistyped, or an earlier backup be put back for a while.
    """
    fences: dict[uuid.UUID, dict[int, str]] = defaultdict(dict)
    # First the files, then the rows: who wrote a file has claimed the job by then, and its row has that fence or more.
    for name in results.names():
        simulation_id, fence = written_by(name)
        fences[simulation_id][fence] = name
    left = []
    ids = iter(fences)
    while some := list(islice(ids, _AT_A_TIME)):
        columns = (Simulation.id, Simulation.fence, Simulation.status, Simulation.result_reference)
        with database.reading() as session:
            rows = session.execute(select(*columns).where(Simulation.id.in_(some))).all()
        for simulation_id, fence, status, reference in rows:
            past = fence if status in LIVE else fence + 1  # the fences below are those of nobody any more
            left += [name for number, name in fences[simulation_id].items() if number < past and name != reference]
    results.remove(left)
    return len(left)


def remove_files(results: Results, simulations: set[uuid.UUID]) -> None:
    """Remove all files of simulations that are deleted; what cannot be removed is logged and left."""
    if not simulations:
        return
    try:
        names = results.names(next(iter(simulations)) if len(simulations) == 1 else None)
    except (BucketError, OSError) as error:
        log.warning("files of deleted simulations are left over: %s: %s", ", ".join(map(str, simulations)), error)
        return
    results.remove(name for name in names if written_by(name)[0] in simulations)
