"""Convert GRIB2 files of one member into a wind file, and make it the bucket's current cycle if asked to.

python -m scripts.convert_grib gfs.t12z.pgrb2.*.f* --bucket data/bucket
python -m scripts.convert_grib one_step.grib2 --steady-hours 24 --output winds/
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import downloader
from habsim.errors import HabsimError
from store.bucket import LocalBucket
from store.publish import publish


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Convert GRIB2 files of one member into a wind file.")
    parser.add_argument("files", nargs="+", type=Path, help="GRIB2 files, each with any levels and steps")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write the wind file into this folder")
    parser.add_argument(
        "--bucket",
        type=Path,
        metavar="DIR",
        help="publish it here as the current cycle, which then has one member",
    )
    parser.add_argument("--member", type=int, help="member number (default: that of the input, or 0)")
    parser.add_argument("--steady-hours", type=int, metavar="N", help="let the one time of the input last for N hours")
    arguments = parser.parse_args(words)
    if arguments.output is None and arguments.bucket is None:
        parser.error("say where the wind file goes: --output FOLDER, --bucket DIR or both")
    return arguments


def _publish(converted: downloader.Converted, folder: Path, bucket: Path) -> None:
    """Publish the wind file; it moves into the bucket, so what lies in another folder is copied first."""
    path = converted.path
    if path.parent != folder:
        path = Path(shutil.copy(path, folder))
    publish(LocalBucket(bucket), converted.cycle, {converted.member: path}, product=converted.model.lower())


def main(words: list[str] | None = None) -> int:
    """Run the command; 0 when the wind file is there, 1 when the input was refused."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    arguments = _arguments(words)
    try:
        if arguments.bucket is not None:
            arguments.bucket.mkdir(parents=True, exist_ok=True)
        # In the bucket's folder, so that publishing is a rename; readers of a bucket do not look into folders.
        with tempfile.TemporaryDirectory(prefix=".convert-", dir=arguments.bucket) as temporary:
            converted = downloader.convert(
                arguments.files,
                arguments.output or Path(temporary),
                member=arguments.member,
                steady_hours=arguments.steady_hours,
            )
            if arguments.bucket is not None:
                _publish(converted, Path(temporary), arguments.bucket)
    except (HabsimError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.output is not None:
        print(f"wrote {converted.path}")
    if arguments.bucket is not None:
        print(f"published cycle {converted.cycle}, member {converted.member}, in {arguments.bucket}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
