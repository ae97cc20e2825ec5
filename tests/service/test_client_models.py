"""The client's listings and models, against answers of our own making."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from scripted_server import Script, answer_problem, connect, shown

from service.errors import ConflictError, NotFoundError, PermissionDeniedError, ServiceError
from training.errors import PhotositeError

MODEL = {
    "name": "mine",
    "version": "2",
    "reference": "mine@2",
    "description": "For tests.",
    "objective": "recorrupted",
    "training_data": "own captures",
    "licence": "Apache-2.0",
    "parent": "photosite@1",
    "noise_range": {"shot_noise": [1e-4, 1e-2]},
    "created": "2026-11-21",
    "metrics": {"gain_db": {"0.002": 6.5}, "sidd": {}},
    "default": False,
    "own": True,
}


def page(next_cursor: str | None, *job_ids: str) -> httpx.Response:
    """A part of a listing."""
    return httpx.Response(200, json={"jobs": [shown(id=job_id) for job_id in job_ids], "next_cursor": next_cursor})


def test_a_listing_is_gone_through_to_its_end() -> None:
    script = Script({"GET /jobs": [page("next", "a" * 32, "b" * 32), page("last", "c" * 32), page(None)]})
    with connect(script) as client:
        assert [job.id[0] for job in client.jobs()] == ["a", "b", "c"]
    queries = [request.url.params for request in script.requests]
    assert [query.get("cursor") for query in queries] == [None, "next", "last"]
    assert [query["limit"] for query in queries] == ["200"] * 3


def test_pages_are_fetched_only_when_they_are_wanted() -> None:
    script = Script({"GET /jobs": [page("next", "a" * 32), answer_problem(500, "internal_error")]})
    with connect(script) as client:
        listing = client.jobs()
        assert script.requests == []
        assert next(listing).id == "a" * 32
        assert len(script.requests) == 1
        with pytest.raises(PhotositeError):
            next(listing)


def test_a_listing_asks_for_states_kinds_and_a_batch() -> None:
    script = Script({"GET /jobs": [page("next"), page(None)]})
    with connect(script) as client:
        assert list(client.jobs(state=["failed", "cancelled"], kind="denoise", batch="roll-7")) == []
    for request in script.requests:
        query = request.url.params
        assert (query.get_list("state"), query["kind"], query["batch"]) == (
            ["failed", "cancelled"],
            "denoise",
            "roll-7",
        )


def test_models_are_listed_shown_and_chosen() -> None:
    script = Script(
        {
            "GET /models": [httpx.Response(200, json={"models": [MODEL]})],
            "GET /models/mine@2": [httpx.Response(200, json={**MODEL, "manifest": {"stride": 32}})],
            "PUT /models/mine@2/default": [httpx.Response(200, json={**MODEL, "default": True})],
        }
    )
    with connect(script) as client:
        [model] = client.models()
        assert (model.reference, model.own, model.metrics.gain_db) == ("mine@2", True, {"0.002": 6.5})
        assert client.model("mine@2").manifest == {"stride": 32}
        assert client.set_default_model("mine@2").default


def test_a_model_is_deleted_by_its_name() -> None:
    script = Script({"DELETE /models/mine": [httpx.Response(204)]})
    with connect(script) as client:
        client.delete_model("mine")
    assert [request.method for request in script.requests] == ["DELETE"]


def test_a_name_is_no_path() -> None:
    script = Script({"DELETE /models/../jobs/x?erase=1": [httpx.Response(204)]})
    with connect(script) as client:
        client.delete_model("../jobs/x?erase=1")
    assert script.requests[0].url.raw_path == b"/models/..%2Fjobs%2Fx%3Ferase%3D1"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answer_problem(404, "not_found"), NotFoundError),
        (answer_problem(403, "permission_denied"), PermissionDeniedError),
        (answer_problem(409, "conflict"), ConflictError),
        (httpx.Response(502, text="<html>"), ServiceError),
    ],
)
def test_a_refusal_is_the_services_own_error(answer: Any, error: type[PhotositeError]) -> None:
    with connect(Script({"DELETE /models/mine": [answer]})) as client, pytest.raises(error):
        client.delete_model("mine")
