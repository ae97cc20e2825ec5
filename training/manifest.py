"""A published model's manifest: everything that is known about it, as JSON beside its weights.

In the flow: publish writes it; registry, engines and tiling obey it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from training.errors import ModelError
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from pathlib import Path

    from training.raw.cells import Cell, SensorKind

InputNormalisation = Literal["variance-stabilised", "none"]
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a model is, what it was trained on, and how well it does."""

    name: str
    """Name in the registry."""
    version: str
    """Version in the registry; versions never change."""
    description: str
    """One sentence for `photosite models list`."""
    network: str
    """Name of the architecture, for `build_network`."""
    network_options: dict[str, Any]
    """Its options."""
    input_normalisation: InputNormalisation
    """How the engine frames the network."""
    sensor: SensorKind = "bayer"
    """Whose mosaics it takes."""
    stride: int
    """Tile origins and sizes are multiples of this, in packed pixels."""
    receptive_field: int
    """A halo this wide makes tiled output equal to whole-image output, in packed pixels."""
    halo: int
    """The halo that is served: wide enough for 0.02 noise standard deviations and 0.001 dB, in packed pixels."""
    weights_sha256: str
    """Digest of model.safetensors."""
    objective: str
    """Training method."""
    training_data: str
    """What it learned from, and under which licence that came."""
    noise_range: dict[str, list[float]]
    """Smallest and largest shot_noise and read_noise met in training."""
    training: dict[str, Any] = field(default_factory=dict)
    """Steps, seed, software, duration, date: what is needed to repeat it."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Quality figures with the data set and the command they were measured by."""
    error_ratios: list[list[float]] = field(default_factory=list)
    """[shot_noise, rms error of the output ÷ rms noise of the input], ascending in shot_noise."""
    golden_tile: dict[str, Any] = field(default_factory=dict)
    """Seed of a synthetic tile and a digest of what the model makes of it, to check a freshly loaded copy."""
    licence: str = "Apache-2.0"
    """Licence of the weights."""
    parent: str = ""
    """NAME@VERSION this one was fine-tuned from, empty for none."""
    schema_version: int = SCHEMA_VERSION
    """Version of this form."""

    @property
    def reference(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"

    @property
    def cell(self) -> Cell:
        """What its packed planes are the photosites of."""
        return CELLS[self.sensor]

    def to_json(self) -> str:
        """As indented JSON with a final newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.json.

    Raises:
        ModelError: It is missing, no JSON, lacks a field, or is of a newer form than this program knows.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.get("schema_version", SCHEMA_VERSION) > SCHEMA_VERSION:
            raise ModelError(f"the manifest {path} is of a newer form than this version of Photosite knows")
        known = {field.name for field in dataclasses.fields(Manifest)}
        manifest = Manifest(**{name: value for name, value in fields.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"the manifest {path} cannot be read", detail=str(error)) from error
    if manifest.sensor not in CELLS:
        raise ModelError(f"the manifest {path} is for sensors that this version of Photosite does not know")
    return manifest
