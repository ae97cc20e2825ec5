"""What can go wrong with a raw, a model or a configuration, as one tree.

::

    PhotositeError
    ├─ RawError                 the file is at fault
    │  ├─ UnreadableRawError      not a raw file, cut off, corrupt
    │  ├─ UnsupportedRawError     a raw that we do not take; says what is not supported
    │  ├─ AlreadyDenoisedError    carries a denoiser's mark; can be forced
    │  └─ RawTooLargeError        more bytes or pixels than the limits allow
    ├─ ModelError               the model's artefact is at fault
    └─ ConfigError              an option is at fault; names the variable or field

`service/errors.py` continues the tree with what can go wrong with a request.
"""

from __future__ import annotations

from typing import ClassVar


class PhotositeError(Exception):
    """The root: everything that Photosite raises on purpose.

    Attributes:
        code: Stable identifier, part of the public interface.
        message: One sentence that is safe to show to whoever sent the request.
        detail: What only the log should see, or the empty string.
        retryable: Whether the same request can succeed later without a change.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class RawError(PhotositeError):
    """The raw file is at fault; trying again gives the same."""

    code = "raw_error"


class UnreadableRawError(RawError):
    """Not a raw file, cut off, or corrupt."""

    code = "unreadable_raw"


class UnsupportedRawError(RawError):
    """A raw file of a kind that Photosite does not take."""

    code = "unsupported_raw"


class AlreadyDenoisedError(RawError):
    """The file carries the mark of a denoiser, ours or another's."""

    code = "already_denoised"


class RawTooLargeError(RawError):
    """The file has more bytes or pixels than the limits allow."""

    code = "raw_too_large"


class ModelError(PhotositeError):
    """A model's weights or manifest are missing, damaged or do not fit."""

    code = "model_error"


class ConfigError(PhotositeError):
    """An option or an environment variable has an unusable value."""

    code = "invalid_configuration"
