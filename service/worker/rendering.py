"""A picture of a raw for the screen, as a ticket asks for it.

In the flow: ticket → **fetch → decode → (denoise the crop) → render → store → give** → answer.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

from service.errors import BrokerUnavailableError, InvalidRequestError, LeaseLostError
from service.pictures import Ticket
from service.storage import BlobKey
from training.denoise_part import denoise_part
from training.errors import PhotositeError
from training.pictures import encode_jpeg
from training.raw.image import Rectangle
from training.raw.render import BLOCK_SIDES, render_view, turn_back, turned_size

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from service.pictures import PictureRequest, Treatment
    from service.worker.opened import OpenedRaw
    from service.worker.workshop import Workshop
    from training.raw.image import RawImage

MAX_DETAIL = 2048
"""Pixels of the longer side up to which a crop is shown photosite by photosite; a larger one of blocks."""

logger = logging.getLogger(__name__)


def render_ticket(text: str, workshop: Workshop) -> None:
    """Make the picture that a ticket asks for, or note on it why that cannot be done."""
    ticket = Ticket.parse(text)
    started = time.monotonic()
    try:
        request = workshop.pictures.take(ticket)
        if request is None:
            return
        _answer(ticket, request, workshop)
    except BrokerUnavailableError as error:
        logger.warning("picture %s: %s; whoever wants it asks again", ticket.digest, error.detail)
    taken_s = time.monotonic() - started
    workshop.metrics.observe_render(taken_s)
    logger.info("picture %s: %.3f s", ticket.digest, taken_s)


def _answer(ticket: Ticket, request: PictureRequest, workshop: Workshop) -> None:
    try:
        name, content = _make(ticket.tenant, request, workshop)
        with workshop.blobs.scratch() as folder:
            (folder / name).write_bytes(content)
            blob = workshop.blobs.keep(folder / name, ticket.tenant)
        workshop.pictures.give(ticket, request, blob.named(name))
    except LeaseLostError:
        workshop.pictures.withdraw(ticket)
    except BrokerUnavailableError:
        raise
    except PhotositeError as error:
        logger.warning("picture %s: %s: %s %s", ticket.digest, error.code, error.message, error.detail)
        workshop.pictures.fail(ticket, error)
    except Exception as error:  # the task boundary: whatever a file provokes must not leave its owner waiting
        logger.exception("picture %s: unexpected error", ticket.digest)
        workshop.pictures.fail(ticket, PhotositeError("an unexpected error; the log says more", detail=repr(error)))


def _make(tenant: str, request: PictureRequest, workshop: Workshop) -> tuple[str, bytes]:
    """Name and content of what was asked for."""
    source = workshop.opened.open(BlobKey(tenant, request.source))
    if request.what == "facts":
        return "facts.json", json.dumps(_facts(source), ensure_ascii=False).encode()
    shown = source if request.shown == request.source else workshop.opened.open(BlobKey(tenant, request.shown))
    return "preview.jpg", encode_jpeg(_render(tenant, request, source, shown.raw, workshop))


def _facts(source: OpenedRaw) -> dict[str, object]:
    metadata = source.raw.metadata
    width, height = turned_size(metadata.visible_area, metadata.orientation)
    return {"picture": {"width": width, "height": height}, **source.facts.to_json()}


def _render(
    tenant: str, request: PictureRequest, source: OpenedRaw, raw: RawImage, workshop: Workshop
) -> NDArray[uint8]:
    area, detail = _area(request, source.raw), request.size
    if request.crop is None or max(area.height, area.width) > MAX_DETAIL:
        detail = min(detail, max(area.height, area.width) // BLOCK_SIDES[raw.metadata.sensor])
    if request.treatment:
        raw, area = _treat(tenant, request.treatment, source, area, workshop)
    return render_view(raw, source.rendering, area, detail)


def _area(request: PictureRequest, raw: RawImage) -> Rectangle:
    """The part of the mosaic that is wanted.

    Raises:
        InvalidRequestError: The crop lies outside the picture, or is too large to be denoised for a look.
    """
    visible, orientation = raw.metadata.visible_area, raw.metadata.orientation
    if request.crop is None:
        return visible
    x, y, width, height = request.crop
    area = turn_back(Rectangle(y, x, y + height, x + width), visible, orientation)
    if not (area.height and area.width):
        width, height = turned_size(visible, orientation)
        raise InvalidRequestError(f"query.crop: it lies outside the picture, which is {width}×{height}")
    return area


def _treat(
    tenant: str, treatment: Treatment, source: OpenedRaw, area: Rectangle, workshop: Workshop
) -> tuple[RawImage, Rectangle]:
    """The crop, denoised with what the network needs around it.

    Raises:
        RawError: The raw cannot be denoised.
        ModelError: There is no such model any more.
    """
    facts = source.facts
    if facts.noise is None:
        raise facts.refusal or InvalidRequestError("the picture's noise cannot be told")
    sensor = source.raw.metadata.sensor
    _, engine = workshop.models.get(treatment.models.get(sensor), tenant, sensor)
    with workshop.turns.interactive():
        return denoise_part(source.raw, area, engine, facts.noise.model, treatment.strength)
