"""What can go wrong with a request or a job, continuing the tree of `training/errors.py`, and its HTTP status.

::

    PhotositeError
    └─ ServiceError
       ├─ InvalidRequestError       a parameter, header or body makes no sense
       ├─ BodyTooLargeError         a body that is no file is larger than any that makes sense
       ├─ AuthenticationError       no key, or none of ours
       ├─ PermissionDeniedError     the key is good, but not for this
       ├─ NotFoundError             there is no such thing, or it is another tenant's
       │  └─ JobNotFoundError         no such job
       ├─ ResultExpiredError        the job is known, its result is gone
       ├─ ConflictError             what is there does not allow it
       │  └─ JobConflictError         the job's state does not
       │     └─ ResultNotReadyError     not finished yet (Retry-After)
       ├─ QuotaExceededError        the tenant has too many jobs waiting, or too much stored (Retry-After)
       ├─ UploadTimeoutError        the upload stopped coming, or came too slowly
       ├─ UploadConflictError       a resumable upload is at another offset, or not complete
       ├─ UploadBusyError           another request works on the same upload (Retry-After)
       ├─ UploadHeaderError         a header of the upload protocol makes no sense
       ├─ ChecksumMismatchError     a piece came with other bytes than its checksum says
       ├─ TusVersionError           the client speaks another version of the upload protocol
       ├─ MediaTypeError            the body is of another type than the route takes
       ├─ LeaseLostError            the job is no longer this worker's: cancelled, or given to another
       ├─ NewerRecordError          a record that a newer version wrote, and only that one understands (Retry-After)
       ├─ WorkerLostError           every attempt ended with its process
       ├─ OverloadedError           too many requests are being served (Retry-After)
       ├─ QueueFullError            too many jobs wait (Retry-After)
       ├─ BrokerUnavailableError    Redis cannot be reached (Retry-After)
       ├─ StorageUnavailableError   the data folder or the bucket cannot be read or written (Retry-After)
       ├─ ServerUnreachableError    a client finds no service at its address
       └─ ResultDamagedError        a client received other bytes than the service holds

`STATUS_BY_ERROR` is the one table from an error to its HTTP status; read backwards, from an answer's code to the error
that a client raises.
"""

from http import HTTPStatus
from typing import ClassVar

from training.errors import (
    AlreadyDenoisedError,
    ConfigError,
    ModelError,
    PhotositeError,
    RawError,
    RawTooLargeError,
    UnreadableRawError,
    UnsupportedRawError,
)

CHECKSUM_MISMATCH = 460
"""A status of the upload protocol's own (tus 1.0.0, extension Checksum)."""


class ServiceError(PhotositeError):
    """The request, the job or the service's surroundings are at fault.

    Attributes:
        retry_after_s: Seconds after which trying again makes sense, None where it does not.
    """

    code = "service_error"
    usual_retry_after_s: ClassVar[int | None] = None

    def __init__(self, message: str, *, detail: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(message, detail=detail)
        self.retry_after_s = self.usual_retry_after_s if retry_after_s is None else retry_after_s


class InvalidRequestError(ServiceError):
    """A parameter, a header or the body makes no sense."""

    code = "invalid_request"


class BodyTooLargeError(ServiceError):
    """A body that is no file is larger than any that makes sense."""

    code = "body_too_large"


class AuthenticationError(ServiceError):
    """No key came with the request, or one that is not known."""

    code = "unauthenticated"


class PermissionDeniedError(ServiceError):
    """The key is good, but not for what was asked."""

    code = "permission_denied"


class NotFoundError(ServiceError):
    """There is no such thing; another tenant's counts as none."""

    code = "not_found"


class JobNotFoundError(NotFoundError):
    """There is no such job."""


class ResultExpiredError(ServiceError):
    """The job is known, but its result is gone."""

    code = "not_found"


class ConflictError(ServiceError):
    """What is there already does not allow what was asked."""

    code = "conflict"


class JobConflictError(ConflictError):
    """The job's state does not allow what was asked."""


class ResultNotReadyError(JobConflictError):
    """The job is not finished yet."""

    retryable = True
    usual_retry_after_s = 1


class UploadTimeoutError(ServiceError):
    """The upload stopped coming, or came too slowly."""

    code = "upload_timeout"
    retryable = True


class UploadConflictError(ServiceError):
    """A resumable upload is at another offset than the request says, or not complete."""

    code = "conflict"


class UploadBusyError(ServiceError):
    """Another request works on the same upload."""

    code = "upload_busy"
    retryable = True
    usual_retry_after_s = 1


class UploadHeaderError(ServiceError):
    """A header of the protocol of resumable uploads makes no sense."""

    code = "invalid_upload"


class ChecksumMismatchError(ServiceError):
    """A piece of an upload came with other bytes than its checksum says."""

    code = "checksum_mismatch"
    retryable = True


class TusVersionError(ServiceError):
    """The client speaks another version of the protocol of resumable uploads."""

    code = "unsupported_tus_version"


class MediaTypeError(ServiceError):
    """The body is of another type than the route takes."""

    code = "unsupported_media_type"


class OverloadedError(ServiceError):
    """Too many requests are being served at the same time."""

    code = "overloaded"
    retryable = True
    usual_retry_after_s = 2


class LeaseLostError(ServiceError):
    """The job is no longer this worker's: it was cancelled, or given to another."""

    code = "conflict"


class NewerRecordError(ServiceError):
    """A newer version of the service wrote a record that this one does not understand; one that does will see to it."""

    code = "newer_record"
    retryable = True
    usual_retry_after_s = 10


class WorkerLostError(ServiceError):
    """Every attempt at a job ended with the process that ran it."""

    code = "worker_lost"


class QuotaExceededError(ServiceError):
    """A tenant has as many jobs waiting, or as much stored, as it may have."""

    code = "quota_exceeded"
    retryable = True
    usual_retry_after_s = 10


class QueueFullError(ServiceError):
    """Too many jobs wait already."""

    code = "queue_full"
    retryable = True
    usual_retry_after_s = 10


class BrokerUnavailableError(ServiceError):
    """Redis cannot be reached."""

    code = "broker_unavailable"
    retryable = True
    usual_retry_after_s = 5


class StorageUnavailableError(ServiceError):
    """The data folder, or the bucket that takes its place, cannot be read or written."""

    code = "storage_unavailable"
    retryable = True
    usual_retry_after_s = 5


class ServerUnreachableError(ServiceError):
    """No service answers at the address that a client was given, or the line to it breaks again and again."""

    code = "server_unreachable"
    retryable = True


class ResultDamagedError(ServiceError):
    """What a client received is not what the service holds."""

    code = "result_damaged"
    retryable = True


STATUS_BY_ERROR: dict[type[PhotositeError], int] = {
    UnreadableRawError: 422,
    UnsupportedRawError: 415,
    AlreadyDenoisedError: 409,
    RawTooLargeError: 413,
    RawError: 422,
    ModelError: 500,
    ConfigError: 500,
    InvalidRequestError: 422,
    BodyTooLargeError: 413,
    AuthenticationError: 401,
    PermissionDeniedError: 403,
    JobNotFoundError: 404,
    NotFoundError: 404,
    ResultExpiredError: 404,
    JobConflictError: 409,
    ConflictError: 409,
    ResultNotReadyError: 409,
    UploadTimeoutError: 408,
    UploadConflictError: 409,
    UploadBusyError: 423,
    UploadHeaderError: 400,
    ChecksumMismatchError: CHECKSUM_MISMATCH,
    TusVersionError: 412,
    MediaTypeError: 415,
    OverloadedError: 503,
    LeaseLostError: 409,
    NewerRecordError: 503,
    WorkerLostError: 500,
    QuotaExceededError: 429,
    QueueFullError: 503,
    BrokerUnavailableError: 503,
    StorageUnavailableError: 503,
    ServerUnreachableError: 502,  # a client's own, as the next: no answer of ours has them
    ResultDamagedError: 502,
    ServiceError: 500,
    PhotositeError: 500,
}
_STATUS_BY_CODE = {error.code: status for error, status in STATUS_BY_ERROR.items()}
_ERROR_BY_CODE = {error.code: error for error in reversed(STATUS_BY_ERROR)}  # of those that share a code, the first


def phrase_of(status: int) -> str:
    """What an HTTP status is called.

    >>> phrase_of(404)
    'Not Found'
    """
    return "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase


def status_of(error: PhotositeError) -> int:
    """The HTTP status of an error."""
    return STATUS_BY_ERROR[type(error)]


def status_of_code(code: str) -> int:
    """The HTTP status of a code that a job record remembers; 500 for one that is not known any more."""
    return _STATUS_BY_CODE.get(code, 500)


def error_of_code(code: str, message: str) -> PhotositeError:
    """The error that an answer or a job record tells of; ServiceError for a code that is not known here.

    >>> error_of_code("unreadable_raw", "cut off")
    UnreadableRawError('cut off')
    """
    known = _ERROR_BY_CODE.get(code)
    return known(message) if known else ServiceError(message, detail=f"code {code}")
