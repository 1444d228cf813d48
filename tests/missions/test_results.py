"""Results: in the row, in a file, on S3 or in a database that others share."""

from __future__ import annotations

import gzip
import os
import uuid
from pathlib import Path

import pytest

from habsim.errors import NotFoundError, UnavailableError
from missions.results import INLINE_BYTES, Results
from settings import Settings
from tests import s3_servers
from tests.faults import fill, small_disk
from tests.proxy import HOST
from tests.worlds import make_settings

LARGE = os.urandom(INLINE_BYTES + 1)


def on_s3(folder: Path) -> Settings:
    """Settings with a new bucket on S3."""
    store = s3_servers.moto()
    return make_settings(
        folder,
        s3_bucket_name=store.new_bucket(),
        s3_endpoint_url=f"http://{HOST}:{store.port}",
        aws_access_key_id=s3_servers.KEY,
        aws_secret_access_key=s3_servers.SECRET,
    )


def test_small_ones_are_in_the_row_and_large_ones_in_a_file(tmp_path: Path) -> None:
    results = Results(make_settings(tmp_path), shared_database=False)
    small = results.keep(uuid.uuid4(), 1, b"small")
    assert small.reference is None
    assert small.inline is not None
    assert gzip.decompress(results.read(small.inline, None)) == b"small"
    large = results.keep(uuid.uuid4(), 1, LARGE)
    assert large.inline is None
    assert large.reference is not None
    assert gzip.decompress(results.read(None, large.reference)) == LARGE
    results.remove([large.reference])
    results.remove([large.reference])  # again does no harm
    with pytest.raises(NotFoundError, match="the result is gone"):
        results.read(None, large.reference)


def test_a_shared_database_holds_all_since_other_machines_have_no_files_of_this_one(tmp_path: Path) -> None:
    kept = Results(make_settings(tmp_path), shared_database=True).keep(uuid.uuid4(), 1, LARGE)
    assert kept.reference is None
    assert kept.inline is not None
    assert gzip.decompress(kept.inline) == LARGE


def test_large_ones_go_to_the_bucket_on_s3(tmp_path: Path) -> None:
    settings = on_s3(tmp_path)
    results = Results(settings, shared_database=True)
    kept = results.keep(uuid.uuid4(), 1, LARGE)
    assert kept.reference is not None
    assert gzip.decompress(Results(settings, shared_database=True).read(None, kept.reference)) == LARGE
    assert results.names() == {kept.reference}
    results.remove([kept.reference])
    with pytest.raises(NotFoundError):
        results.read(None, kept.reference)


def test_results_stay_where_they_are_when_the_service_moves_to_s3(tmp_path: Path) -> None:
    before = Results(make_settings(tmp_path), shared_database=False)
    kept = before.keep(uuid.uuid4(), 1, LARGE)
    assert kept.reference is not None
    after = Results(on_s3(tmp_path), shared_database=False)
    later = after.keep(uuid.uuid4(), 1, LARGE)
    assert later.reference is not None
    assert after.names() == {kept.reference, later.reference}
    for reference in (kept.reference, later.reference):
        assert gzip.decompress(after.read(None, reference)) == LARGE
        after.remove([reference])
        with pytest.raises(NotFoundError):
            after.read(None, reference)
    assert after.names() == set()
    with pytest.raises(NotFoundError, match="no bucket on S3 is set"):
        before.read(None, later.reference)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with small_disk(settings.data_dir / "simulations", 512) as folder:
        fill(folder)
        with pytest.raises(UnavailableError, match=r"the result of 0\.3 MB cannot be written: the disk is full"):
            Results(settings, shared_database=False).keep(uuid.uuid4(), 1, LARGE)
        assert [path.name for path in folder.iterdir()] == ["filler"]


def test_a_reference_leads_nowhere_else(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    (settings.data_dir / "secret_key").write_text("secret")
    with pytest.raises(NotFoundError):
        Results(settings, shared_database=False).read(None, "../secret_key")
