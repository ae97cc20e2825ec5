"""A describing job: what a capture is, and a small picture of it, so that its owner can choose.

In the flow: claim → **fetch → read → describe → store → publish** → capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from service.schemas import DescribeParameters, ErrorSchema, FileSchema
from service.storage import BlobKey
from training.capture_facts import describe_raw, thumbnail_of
from training.datasets.captures import require_bayer_capture
from training.errors import RawError
from training.raw.dng import read_raw

if TYPE_CHECKING:
    from service.job_records import Job
    from service.worker.lease import Lease
    from service.worker.workshop import Workshop
    from training.raw.image import RawMetadata


def describe_job(job: Job, workshop: Workshop, lease: Lease) -> Job:
    """Look at a capture and write what was found into its record.

    Raises:
        PhotositeError: Whatever is at fault: the file, the storage; LeaseLostError if the job is not ours.
    """
    capture_id, source = cast("DescribeParameters", job.parameters).capture, cast("FileSchema", job.input)
    lease.advance("read", 0)
    try:
        raw = read_raw(workshop.blobs.local_path(BlobKey(job.tenant, source.sha256)))
        lease.advance("describe", 0)
        facts = describe_raw(raw)
        picture = thumbnail_of(raw)
    except RawError as error:
        remembered = ErrorSchema(code=error.code, message=error.message)
        workshop.captures.change(job, capture_id, state="unusable", error=remembered)
        raise
    with workshop.blobs.scratch() as folder:
        (folder / "thumbnail.webp").write_bytes(picture)
        lease.advance("store", 0)
        blob = workshop.blobs.keep(folder / "thumbnail.webp", job.tenant)
    refused = facts.refusal or _not_to_learn_from(raw.metadata)
    workshop.captures.change(
        job,
        capture_id,
        state="unusable" if refused else "usable",
        error=ErrorSchema(code=refused.code, message=refused.message) if refused else None,
        facts=facts.to_json(),
        thumbnail=blob.named(f"{capture_id}.webp"),
    )
    return workshop.jobs.succeed(job, report=facts.to_json())


def _not_to_learn_from(metadata: RawMetadata) -> RawError | None:
    """Why nothing can be fine-tuned on a raw that can be denoised; None where it can."""
    try:
        require_bayer_capture(metadata)
    except RawError as error:
        return error
    return None
