"""The one table from an error to its HTTP status."""

from __future__ import annotations

import pytest

from service import errors
from service.errors import (
    STATUS_BY_ERROR,
    BrokerUnavailableError,
    JobConflictError,
    JobNotFoundError,
    ServiceError,
    error_of_code,
    status_of,
    status_of_code,
)
from training.errors import PhotositeError


def all_subclasses(root: type[PhotositeError]) -> set[type[PhotositeError]]:
    """A class and everything below it that the packages define."""
    below = {error for child in root.__subclasses__() for error in all_subclasses(child)}
    return {error for error in below | {root} if error.__module__ in {"training.errors", "service.errors"}}


@pytest.mark.parametrize("error", sorted(all_subclasses(PhotositeError), key=lambda error: error.__name__))
def test_every_error_has_a_status(error: type[PhotositeError]) -> None:
    assert error in STATUS_BY_ERROR, f"{error.__name__} is missing in STATUS_BY_ERROR"
    assert STATUS_BY_ERROR[error] >= 400
    assert errors.phrase_of(STATUS_BY_ERROR[error])


def test_errors_with_one_code_have_one_status() -> None:
    statuses: dict[str, set[int]] = {}
    for error, status in STATUS_BY_ERROR.items():
        statuses.setdefault(error.code, set()).add(status)
    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("unreadable_raw", 422),
        ("unsupported_raw", 415),
        ("already_denoised", 409),
        ("raw_too_large", 413),
        ("invalid_request", 422),
        ("not_found", 404),
        ("conflict", 409),
        ("queue_full", 503),
        ("broker_unavailable", 503),
        ("storage_unavailable", 503),
        ("a code from an older version", 500),
    ],
)
def test_public_codes_keep_their_status(code: str, status: int) -> None:
    assert status_of_code(code) == status


@pytest.mark.parametrize("error", sorted(all_subclasses(PhotositeError), key=lambda error: error.__name__))
def test_a_code_leads_back_to_its_error(error: type[PhotositeError]) -> None:
    found = error_of_code(error.code, "why")
    assert found.message == "why"
    assert found.code == error.code
    shared = {"not_found": JobNotFoundError, "conflict": JobConflictError}
    assert type(found) is shared.get(error.code, error)


def test_an_unknown_code_is_a_service_error_with_the_text() -> None:
    found = error_of_code("from_the_future", "why")
    assert (type(found), found.message) == (ServiceError, "why")
    assert "from_the_future" in found.detail


def test_errors_that_pass_say_when_to_come_back() -> None:
    unavailable = [error for error, status in STATUS_BY_ERROR.items() if status == 503]
    assert BrokerUnavailableError in unavailable
    for error in unavailable:
        assert error.retryable
        assert issubclass(error, errors.ServiceError)
        assert (error("later").retry_after_s or 0) > 0


def test_a_subclass_without_an_entry_is_noticed() -> None:
    class NewError(PhotositeError):
        """Not in the table."""

    with pytest.raises(KeyError):
        status_of(NewError("new"))
