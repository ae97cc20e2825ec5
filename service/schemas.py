"""The bodies and parameters of the HTTP interface, as pydantic models.

In the flow: a request's query becomes `DenoiseParameters`, which the job record keeps; a job is shown as `JobSchema`.
Other kinds of jobs have parameters of their own.
"""

import math
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from training.raw.cells import SensorKind

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
JobKind = Literal["denoise", "describe", "finetune", "validate"]
CaptureState = Literal["pending", "usable", "unusable"]
FINISHED_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})

ModelName = Annotated[str, Field(pattern=r"^[\w.-]{1,64}(@[\w.-]{1,64})?$")]
"""A model as NAME or NAME@VERSION."""
NewModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A name that a model can be given."""
BatchName = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
"""What a client calls jobs that belong together."""
UploadId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""A resumable upload."""
CaptureId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


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


def _check_noise(text: str) -> str:
    parse_noise(text)
    return text


NoiseText = Annotated[str, Field(max_length=100, examples=["0.001,0.000002"]), AfterValidator(_check_noise)]
"""A noise model as `parse_noise` reads it."""


_CROP = r"^\d{1,6},\d{1,6},[1-9]\d{0,5},[1-9]\d{0,5}$"


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """Read "X,Y,WIDTH,HEIGHT".

    >>> parse_crop("0,16,512,384")
    (0, 16, 512, 384)
    """
    x, y, width, height = (int(part) for part in text.split(","))
    return x, y, width, height


CropText = Annotated[str, Field(pattern=_CROP, examples=["0,16,512,384"])]
"""A part of a picture as `parse_crop` reads it."""


class DenoiseParameters(BaseModel):
    """How one raw is to be denoised."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: ModelName | None = None
    """Model as NAME or NAME@VERSION; none: the default, or for X-Trans and monochrome sensors the one for these."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0 gives the input back, 1 denoises fully."""
    noise: NoiseText | None = None
    """SHOT,READ: variance = SHOT · x + READ of the signal between black 0 and white 1; none: the file's own."""
    precision: Literal["auto", "keep"] = "auto"
    """Whether the result may have more bits per sample than the file, where its noise hid the finer steps."""
    preview: Literal["keep", "render", "none"] = "keep"
    """The preview inside the file: the camera's, noise and look; one made of the denoised mosaic; or none."""
    force: bool = False
    """Denoise a file that carries a denoiser's mark."""


class DenoiseQuery(DenoiseParameters):
    """All that the query of POST /denoise says."""

    batch: BatchName | None = None
    """Name of the batch that the job belongs to."""
    webhook: str | None = None
    """https address that is told, signed, when the job is finished; of a batch, when all of it is."""
    upload: UploadId | None = None
    """A complete upload that is the raw; the request then has no body."""

    @property
    def parameters(self) -> DenoiseParameters:
        """How the raw is to be denoised."""
        return DenoiseParameters(**self.model_dump(include=set(DenoiseParameters.model_fields)))


class DescribeParameters(BaseModel):
    """A capture that a worker looks at: its camera, its noise, a thumbnail."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    capture: CaptureId
    """Which capture."""


class FinetuneParameters(BaseModel):
    """How a model is to be adapted to a camera, from noisy captures alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    captures: Annotated[tuple[CaptureId, ...], Field(min_length=1, max_length=256)]
    """Captures to learn from, by id; part of each is held out and judged on."""
    name: NewModelName
    """Name of the new model; a name that exists gets a new version."""
    base: ModelName | None = None
    """Model to begin with; none: the default."""
    objective: Literal["auto", "neighbor2neighbor", "blind2unblind", "recorrupted", "noise2noise"] = "auto"
    """Training method; auto: noise2noise where the captures hold frames of one static scene, else recorrupted."""
    steps: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    """Training steps; none: as many as fit into `minutes`."""
    minutes: Annotated[float, Field(gt=0, le=24 * 60)] | None = None
    """Time for training; 10 where `steps` is not given either."""
    make_default: bool = True
    """Whether a model that is better than its base becomes the default."""

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give steps or minutes, not both")
        return self


class FinetuneRequest(FinetuneParameters):
    """All that the body of POST /jobs/finetune says."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"captures": ["c3ab8ff13720e8ad9047dd39466b3c89"], "name": "studio-camera", "minutes": 10}]
        }
    )

    batch: BatchName | None = None
    """Name of the batch that the job belongs to."""
    webhook: str | None = None
    """https address that is told, signed, when the job is finished; of a batch, when all of it is."""

    @property
    def parameters(self) -> FinetuneParameters:
        """How the model is to be adapted."""
        return FinetuneParameters(**self.model_dump(include=set(FinetuneParameters.model_fields)))


MINI_DATASET = "mini"


class ValidateParameters(BaseModel):
    """How a model is to be measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dataset: Annotated[str, Field(pattern=r"^[\w][\w.-]{0,63}$")] = MINI_DATASET
    """A folder of the server's datasets folder, or "mini", which comes with the service."""
    model: ModelName | None = None
    """Model to measure; none: the default."""
    noise: NoiseText | None = None
    """SHOT,READ of all images; none: estimated for each."""


class ValidateRequest(ValidateParameters):
    """All that the body of POST /jobs/validate says."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dataset": MINI_DATASET}]})

    batch: BatchName | None = None
    """Name of the batch that the job belongs to."""
    webhook: str | None = None
    """https address that is told, signed, when the job is finished; of a batch, when all of it is."""

    @property
    def parameters(self) -> ValidateParameters:
        """How the model is to be measured."""
        return ValidateParameters(**self.model_dump(include=set(ValidateParameters.model_fields)))


JobParameters = DenoiseParameters | DescribeParameters | FinetuneParameters | ValidateParameters


class FileSchema(BaseModel):
    """An upload or a result."""

    name: str
    bytes: int
    sha256: str


class ErrorSchema(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class QueuePlaceSchema(BaseModel):
    """Where a job stands that waits."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ahead: int
    """Jobs that begin before it, if no more come: more urgent ones, its owner's older ones, others' in turn."""
    running: int
    """Jobs that the service's workers are at; 0 for long: there is none."""


class JobSchema(BaseModel):
    """A job as its owner sees it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    kind: JobKind = "denoise"
    batch: str | None = None
    """What the client called the jobs that this one belongs to."""
    state: JobState
    stage: str
    """What is being done: "read", "denoise" …; empty before the start."""
    progress: Annotated[float, Field(ge=0, le=1)]
    """Done share of the stage."""
    figures: dict[str, Any] = {}
    """Of the work in progress: `eta_s`, seconds that the stage still takes; a training's `step`, `steps`, `loss`."""
    place: QueuePlaceSchema | None = None
    """Where it stands while it waits; told of a single job and in its events, not in lists."""
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    parameters: JobParameters
    model: str | None
    """NAME@VERSION that was used, or made; none before the start."""
    input: FileSchema | None
    """The upload; none where the job works on what the server has."""
    result: FileSchema | None
    files: dict[str, FileSchema] = {}
    """What else there is to download, by name."""
    error: ErrorSchema | None
    report: dict[str, Any] | None
    """What was found and done."""
    links: dict[str, str]

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINISHED_STATES


class JobListSchema(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobSchema]
    next_cursor: str | None
    """`cursor` of the next page; none at the end."""


class CaptureSchema(BaseModel):
    """A capture as its owner sees it."""

    id: str
    name: str
    bytes: int
    sha256: str
    created_at: datetime
    state: CaptureState
    camera: str | None
    """Maker and model; as all that follows, known once a worker has looked at it."""
    iso: int | None
    size: tuple[int, int] | None
    """Width and height in photosites."""
    cfa_pattern: str | None
    noise: dict[str, list[float]] | None
    """`shot` and `read` for R, Gr, Gb, B: variance = shot · x + read of the signal between black 0 and white 1."""
    facts: dict[str, Any] | None
    """All that was found."""
    error: ErrorSchema | None
    """Why it cannot be used."""
    links: dict[str, str]


class PreviewQuery(BaseModel):
    """Which picture of a raw is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    stage: Literal["before", "after"] = "before"
    """As it came from the camera, or denoised."""
    size: Annotated[int, Field(ge=64, le=2048)] = 2048
    """Pixels of the longer side; nothing is enlarged."""
    crop: CropText | None = None
    """X,Y,WIDTH,HEIGHT in pixels of the whole picture at full size, turned for viewing; none: the whole."""

    @property
    def place(self) -> tuple[int, int, int, int] | None:
        """The crop as numbers."""
        return parse_crop(self.crop) if self.crop else None


class TrialQuery(PreviewQuery):
    """Which picture of a raw is wanted that no job has denoised yet; `after`, its crop is denoised for a look."""

    model: ModelName | None = None
    """Model as NAME or NAME@VERSION; none: the default, or for X-Trans and monochrome sensors the one for these."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """0 gives the input back, 1 denoises fully."""


class PictureSizeSchema(BaseModel):
    """A rendered picture at full size, turned for viewing."""

    width: int
    height: int


class PreviewInfoSchema(BaseModel):
    """What there is to know of a raw before it is denoised; more of it than is listed here."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")

    picture: PictureSizeSchema
    """Its full size: what crops are counted in."""
    camera: str | None
    iso: int | None
    cfa_pattern: str
    noise: dict[str, list[float]] | None
    """`shot` and `read` for R, Gr, Gb, B: variance = shot · x + read of the signal between black 0 and white 1."""
    noise_source: str | None
    """Where that comes from: "tag" or "estimate"."""
    denoisable: bool
    warnings: list[str]


class RenderingSchema(BaseModel):
    """A picture is being made; the same request has it in a moment."""

    state: Literal["rendering"] = "rendering"


class SessionRequest(BaseModel):
    """What begins a session."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"key": "ps_0123456789ab_" + 43 * "x"}]},
    )

    key: Annotated[str, Field(max_length=200)]
    """An API key, made by `photosite keys create`."""


class SessionSchema(BaseModel):
    """Who is signed in on the page."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    authenticated: bool
    """Whether the request's session is a good one."""
    keys_required: bool
    """Whether nothing is answered without a key or a session."""
    tenant: str | None
    """Whose the answers are; none where nobody is signed in and keys are required."""


class CaptureListSchema(BaseModel):
    """A page of captures, newest first."""

    captures: list[CaptureSchema]
    next_cursor: str | None
    """`cursor` of the next page; none at the end."""


class CaptureDeletedSchema(BaseModel):
    """What was deleted, and what had been made with it."""

    id: str
    jobs: list[str]
    """Fine-tuning jobs that still use it; they keep it until they are finished."""
    models: list[str]
    """Models that have learned from it, as NAME@VERSION; they stay."""


class BatchSchema(BaseModel):
    """Jobs that belong together."""

    id: str
    total: int
    states: dict[JobState, int]
    """How many jobs are in each state."""
    progress: Annotated[float, Field(ge=0, le=1)]
    finished: bool
    """Whether all of them are."""
    links: dict[str, str]


class BatchEndSchema(BatchSchema):
    """What a batch's webhook says."""

    jobs: list[str]
    """Ids of all of them."""


class WebhookSecretSchema(BaseModel):
    """What a receiver needs to check that a webhook is ours."""

    secret: str
    """As libraries for Standard Webhooks take it: whsec_ and base64."""


class ModelSchema(BaseModel):
    """One version of a model, as a tenant that may use it sees it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    version: str
    reference: str
    """NAME@VERSION."""
    description: str
    sensor: SensorKind = "bayer"
    """Whose mosaics it takes."""
    objective: str
    """Training method."""
    training_data: str
    """What it learned from, and under which licence that came."""
    licence: str
    """Licence of its weights."""
    parent: str
    """NAME@VERSION that it was fine-tuned from; empty for none."""
    noise_range: dict[str, list[float]]
    """Smallest and largest shot_noise and read_noise met in training."""
    created: date | None
    """When it was published, where that is known."""
    metrics: "ModelMetricsSchema"
    default: bool
    """Whether it is used where a request names no model, and the file is a Bayer sensor's."""
    own: bool
    """Whether it is the tenant's own, which nobody else sees and which the tenant can delete."""


class ModelMetricsSchema(BaseModel):
    """What was measured when a model was published, in short; its manifest says how."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    gain_db: dict[str, float] = {}
    """Decibels gained over the noisy input, by shot_noise."""
    sidd: dict[str, float | None] = {}
    """Means over the SIDD benchmark's validation blocks."""


class ModelDetailSchema(ModelSchema):
    """One version of a model, with all that is known about it."""

    manifest: dict[str, Any]
    """The whole manifest, as it was published."""


class ModelListSchema(BaseModel):
    """All models that a tenant may use, by name, oldest version first."""

    models: list[ModelSchema]


class DatasetSchema(BaseModel):
    """A data set that the server has."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """What POST /jobs/validate calls it."""
    kind: Literal["shipped", "placed"]
    """Whether it comes with the service, or is a folder of the operator's."""
    images: int | None
    """Validation and benchmark images together; null where no blocks can be read in the folder."""


class DatasetListSchema(BaseModel):
    """All data sets that models can be measured on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "datasets": [
                        {"name": MINI_DATASET, "kind": "shipped", "images": 16},
                        {"name": "sidd", "kind": "placed", "images": 80},
                    ]
                }
            ]
        }
    )

    datasets: list[DatasetSchema]


class ProblemSchema(BaseModel):
    """An error, as RFC 9457 "Problem Details for HTTP APIs" has it."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "the file is cut off",
                    "code": "unreadable_raw",
                }
            ]
        },
    )

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
