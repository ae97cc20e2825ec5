"""The bodies and parameters of the HTTP interface, as pydantic models.

In the flow: a request's query becomes `DenoiseParameters`, which the job record keeps; a job is shown as `JobSchema`.
"""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINISHED_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})


def parse_noise(text: str) -> tuple[float, float]:
    """Read "SHOT,READ", both variances ≥ 0 of the normalised signal, not both 0.

    Raises:
        ValueError: Anything else.

    >>> parse_noise("0.001,2e-6")
    (0.001, 2e-06)
    """
    try:
        shot_noise, read_noise = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError("wanted two numbers as SHOT,READ") from error
    if not (math.isfinite(shot_noise + read_noise) and min(shot_noise, read_noise) >= 0 < shot_noise + read_noise):
        raise ValueError("wanted two finite variances of at least 0, not both 0")
    return shot_noise, read_noise


class DenoiseParameters(BaseModel):
    """How one raw is to be denoised."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: Annotated[str, Field(pattern=r"^[\w.-]{1,64}(@[\w.-]{1,64})?$")] | None = None
    """Model as NAME or NAME@VERSION; none: the default."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0 gives the input back, 1 denoises fully."""
    noise: Annotated[str, Field(max_length=100)] | None = None
    """SHOT,READ: variance = SHOT · x + READ of the signal between black 0 and white 1; none: the file's own."""
    precision: Literal["auto", "keep"] = "auto"
    """Whether the result may have more bits per sample than the file, where its noise hid the finer steps."""
    preview: Literal["keep"] = "keep"
    """What becomes of the preview inside the file."""
    force: bool = False
    """Denoise a file that carries a denoiser's mark."""

    @field_validator("noise")
    @classmethod
    def _check_noise(cls, noise: str | None) -> str | None:
        if noise is not None:
            parse_noise(noise)
        return noise


class FileSchema(BaseModel):
    """An upload or a result."""

    name: str
    bytes: int
    sha256: str


class ErrorSchema(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class JobSchema(BaseModel):
    """A job as its owner sees it."""

    id: str
    state: JobState
    stage: str
    """What is being done: "read", "denoise" …; empty before the start."""
    progress: Annotated[float, Field(ge=0, le=1)]
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    parameters: DenoiseParameters
    model: str | None
    """NAME@VERSION that was used; none before the start."""
    input: FileSchema
    result: FileSchema | None
    error: ErrorSchema | None
    report: dict[str, Any] | None
    """What the denoiser found and did."""
    links: dict[str, str]

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINISHED_STATES


class ProblemSchema(BaseModel):
    """An error, as RFC 9457 "Problem Details for HTTP APIs" has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """Stable identifier of what went wrong."""


class HealthSchema(BaseModel):
    """What a probe is told."""

    status: Literal["alive", "ready"]
    checks: dict[str, str]
