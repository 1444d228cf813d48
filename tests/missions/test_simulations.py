"""Simulations: who sees which, lists, history and sums; on both databases."""

from __future__ import annotations

import gzip
import uuid

import pytest

from habsim.errors import BadRequestError, BusyError, ConflictError, ForbiddenError, NotFoundError
from missions.accounts import Page, Viewer
from missions.jobs import Outcome, Queue
from missions.opening import Missions, open_missions
from missions.results import INLINE_BYTES, Kept
from missions.simulations import Filter, NewSimulation, Simulations
from settings import Settings
from tests.missions.backends import ADDRESS, CONFIG, PASSWORD, SECRET, Contract, OnPostgreSQL, OnSQLite, signed_in


def again(missions: Missions, viewer: Viewer) -> Viewer:
    """The viewer as after a change of the account."""
    return missions.accounts.login(viewer.user.username, PASSWORD, ADDRESS)[0]


def submit(missions: Missions, viewer: Viewer, *, shared: bool = False, kind: str = "forward") -> uuid.UUID:
    return missions.simulations.submit(viewer, NewSimulation(kind, CONFIG, "a name", shared=shared)).id


class SimulationsContract(Contract):
    @pytest.fixture
    def club(self, missions: Missions) -> uuid.UUID:
        return missions.organizations.create("club", "").id

    @pytest.fixture
    def bob(self, missions: Missions, ann: Viewer, club: uuid.UUID) -> Viewer:
        """Of one organisation with `ann`, who is to be fetched anew."""
        bob = signed_in(missions, "bob")
        for viewer in (ann, bob):
            missions.accounts.change(viewer.id, {"organization_id": club})
        return again(missions, bob)

    def test_a_shared_row_is_seen_by_the_organisation_alone(self, missions: Missions, ann: Viewer, bob: Viewer) -> None:
        ann, eve, admin = again(missions, ann), signed_in(missions, "eve"), signed_in(missions, "root", is_admin=True)
        private, shared = submit(missions, ann), submit(missions, ann, shared=True)
        seen = {name: {row.id for row in missions.simulations.listed(viewer, Filter(), Page())[0]}
                for name, viewer in (("ann", ann), ("bob", bob), ("eve", eve), ("root", admin))}  # fmt: skip
        assert seen == {"ann": {private, shared}, "bob": {shared}, "eve": set(), "root": {private, shared}}
        assert missions.simulations.get(bob, shared).user.username == "ann"
        for viewer, simulation_id in ((bob, private), (eve, private), (eve, shared)):
            for read in (missions.simulations.get, missions.simulations.result, missions.simulations.cancel,
                         missions.simulations.delete, lambda v, i: missions.simulations.change(v, i, {})):  # fmt: skip
                with pytest.raises(NotFoundError, match=str(simulation_id)):
                    read(viewer, simulation_id)
        assert missions.simulations.of_organization(bob, Filter(), Page())[1] == 1
        assert missions.simulations.of_organization(eve, Filter(), Page())[1] == 0

    def test_who_only_sees_a_row_changes_nothing(self, missions: Missions, ann: Viewer, bob: Viewer) -> None:
        shared = submit(missions, again(missions, ann), shared=True)
        for write in (missions.simulations.cancel, missions.simulations.delete,
                      lambda v, i: missions.simulations.change(v, i, {"name": "mine"})):  # fmt: skip
            with pytest.raises(ForbiddenError, match="ann's"):
                write(bob, shared)

    def test_sharing_ends_with_a_word_the_organisation_or_its_activity(
        self, missions: Missions, ann: Viewer, bob: Viewer, club: uuid.UUID
    ) -> None:
        ann = again(missions, ann)
        shared = submit(missions, ann)
        with pytest.raises(NotFoundError):
            missions.simulations.get(bob, shared)
        missions.simulations.change(ann, shared, {"shared": True})
        assert missions.simulations.get(bob, shared)
        missions.simulations.change(ann, shared, {"shared": False})
        with pytest.raises(NotFoundError):
            missions.simulations.get(bob, shared)
        missions.simulations.change(ann, shared, {"shared": True})
        missions.organizations.change(club, {"is_active": False})
        with pytest.raises(NotFoundError):
            missions.simulations.get(again(missions, bob), shared)
        missions.organizations.change(club, {"is_active": True})
        assert missions.simulations.get(again(missions, bob), shared)
        missions.organizations.delete(club)
        assert missions.simulations.get(ann, shared).organization_id is None

    def test_what_was_shared_stays_in_the_organisation_it_was_shared_with(
        self, missions: Missions, ann: Viewer, bob: Viewer
    ) -> None:
        shared = submit(missions, again(missions, ann), shared=True)
        other = missions.organizations.create("other", "").id
        eve = signed_in(missions, "eve")
        for viewer in (ann, eve):
            missions.accounts.change(viewer.id, {"organization_id": other})
        assert missions.simulations.get(bob, shared)
        with pytest.raises(NotFoundError):
            missions.simulations.get(again(missions, eve), shared)

    def test_nobody_shares_with_nobody(self, missions: Missions, ann: Viewer) -> None:
        with pytest.raises(ConflictError, match="no active organisation"):
            submit(missions, ann, shared=True)

    def test_types_that_cannot_be_computed_are_refused(self, missions: Missions, ann: Viewer) -> None:
        with pytest.raises(BadRequestError, match="type weather cannot be computed here; take forward, ensemble"):
            missions.simulations.submit(ann, NewSimulation("weather", {}))

    def test_the_seed_of_an_ensemble_is_fixed_when_it_is_submitted(self, missions: Missions, ann: Viewer) -> None:
        config = {**CONFIG, "num_perturbations": 2}
        seeds = [missions.simulations.submit(ann, NewSimulation("ensemble", config)).config["seed"] for _ in range(2)]
        other = missions.simulations.submit(ann, NewSimulation("ensemble", {**config, "lat": 1.0})).config["seed"]
        assert seeds[0] == seeds[1] != other
        assert 0 <= seeds[0] < 2**53

    def test_a_user_has_so_many_waiting(self, missions: Missions, settings: Settings, ann: Viewer) -> None:
        few = settings.model_copy(update={"max_queued_jobs": 2})
        limited = Simulations(missions.database, missions.queue, missions.results, few)
        first = limited.submit(ann, NewSimulation("forward", CONFIG)).id
        limited.submit(ann, NewSimulation("forward", CONFIG))
        with pytest.raises(BusyError, match="2 of your simulations wait already, which is the limit"):
            limited.submit(ann, NewSimulation("forward", CONFIG))
        limited.submit(signed_in(missions, "bob"), NewSimulation("forward", CONFIG))
        limited.cancel(ann, first)
        limited.submit(ann, NewSimulation("forward", CONFIG))

    def test_pages_hold_each_row_once(self, missions: Missions, ann: Viewer, bob: Viewer) -> None:
        ann = again(missions, ann)
        mine = [submit(missions, bob) for _ in range(3)]
        theirs = [submit(missions, ann, shared=True) for _ in range(2)]
        more = [submit(missions, bob, shared=True) for _ in range(2)]
        for viewer in (bob,):
            found: list[uuid.UUID] = []
            for number in range(1, 5):
                rows, total = missions.simulations.listed(viewer, Filter(), Page(number, 3))
                assert total == 7
                found += [row.id for row in rows]
            assert found == [*more[::-1], *theirs[::-1], *mine[::-1]]
        assert missions.simulations.listed(ann, Filter(), Page())[1] == 4

    def test_filters(self, missions: Missions, settings: Settings, ann: Viewer) -> None:
        ids = [submit(missions, ann, kind=kind) for kind in ("forward", "forward")]
        missions.simulations.cancel(ann, ids[0])
        made = missions.simulations.get(ann, ids[1]).created
        for which, expected in (
            (Filter(status="cancelled"), [ids[0]]), (Filter(status="pending"), [ids[1]]),
            (Filter(type="forward"), ids[::-1]), (Filter(type="ensemble"), []), (Filter(user_id=ann.id), ids[::-1]),
            (Filter(user_id=uuid.uuid4()), []), (Filter(since=made), [ids[1]]), (Filter(until=made), [ids[0]]),
        ):  # fmt: skip
            rows, total = missions.simulations.own(ann, which, Page())
            assert ([row.id for row in rows], total) == (expected, len(expected)), which
            assert [row.id for row in missions.simulations.exported(ann, which, organization=False)] == expected

    def test_an_export_has_all_rows_in_order(
        self, missions: Missions, ann: Viewer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("missions.simulations._AT_A_TIME", 3)
        ids = [submit(missions, ann) for _ in range(7)]
        with missions.database.writing() as session:  # some were made at the same moment
            for simulation_id in ids[:4]:
                row = session.get(type(missions.simulations.get(ann, ids[0])), simulation_id)
                assert row is not None
                row.created = 1000.0
        found = [row.id for row in missions.simulations.exported(ann, Filter(), organization=False)]
        assert found[:3] == ids[:3:-1]
        assert sorted(found) == sorted(ids)

    def test_sums(self, missions: Missions, settings: Settings, ann: Viewer, bob: Viewer) -> None:
        ann = again(missions, ann)
        submit(missions, ann, shared=True)
        submit(missions, ann)
        missions.simulations.cancel(ann, submit(missions, ann))
        queue = Queue(missions.database, settings, "one")
        job = queue.claim("forward")
        assert job is not None
        queue.complete(job, Outcome(Kept(b"12345", None, 5), {}, 2.5))
        totals = missions.simulations.totals(ann, organization=False)
        assert totals.by == {(("forward", "completed")): 1, ("forward", "pending"): 1, ("forward", "cancelled"): 1}
        assert (totals.result_bytes, totals.computation_seconds) == (5, 2.5)
        assert missions.simulations.totals(bob, organization=True).by == {("forward", "completed"): 1}
        assert missions.simulations.totals(bob, organization=False).by == {}

    def test_a_user_goes_with_simulations_and_results(
        self, missions: Missions, settings: Settings, ann: Viewer
    ) -> None:
        simulation_id = submit(missions, ann)
        queue = Queue(missions.database, settings, "one")
        job = queue.claim("forward")
        assert job is not None
        content = b"".join(uuid.uuid4().bytes for _ in range(INLINE_BYTES // 8))
        kept = missions.results.keep(job.id, job.fence, content)
        queue.complete(job, Outcome(kept, {}, 1.0))
        assert gzip.decompress(missions.simulations.result(ann, simulation_id)) == content
        files = list((settings.data_dir / "simulations").glob("*"))
        assert len(files) == (0 if settings.database_url else 1)
        missions.delete_user(ann.id)
        assert not list((settings.data_dir / "simulations").glob("*"))
        admin = signed_in(missions, "root", is_admin=True)
        with pytest.raises(NotFoundError):
            missions.simulations.get(admin, simulation_id)

    def test_a_result_that_is_not_there_yet_is_a_conflict(self, missions: Missions, ann: Viewer) -> None:
        simulation_id = submit(missions, ann)
        with pytest.raises(ConflictError, match="is pending, it has no result"):
            missions.simulations.result(ann, simulation_id)

    def test_texts_are_kept_to_the_letter(self, missions: Missions, ann: Viewer) -> None:
        for text in ("'; DROP TABLE simulations; --", "<script>alert(1)</script>", '%s {0} \\ "', "\N{BALLOON} é\n\t"):
            made = missions.simulations.submit(ann, NewSimulation("forward", {**CONFIG, "note": text}, text, text))
            row = missions.simulations.get(ann, made.id)
            assert (row.name, row.description, row.config["note"]) == (text, text, text)

    def test_rows_outlive_the_process(self, missions: Missions, settings: Settings, ann: Viewer) -> None:
        simulation_id = submit(missions, ann)
        missions.database.close()
        other = open_missions(settings, SECRET)
        assert other.simulations.get(ann, simulation_id).name == "a name"
        other.database.close()


class TestSimulationsOnSQLite(OnSQLite, SimulationsContract):
    pass


class TestSimulationsOnPostgreSQL(OnPostgreSQL, SimulationsContract):
    pass
