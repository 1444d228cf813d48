"""Which bucket the settings name."""

from __future__ import annotations

from settings import Settings
from store.bucket import Bucket, LocalBucket


def open_bucket(settings: Settings) -> Bucket:
    """The bucket that the settings name: on S3 with `S3_BUCKET_NAME`, else a folder."""
    if settings.s3_bucket_name is not None:
        from store.s3 import S3Bucket  # boto3 is slow to import

        return S3Bucket(settings)
    return LocalBucket(settings.bucket_dir)
