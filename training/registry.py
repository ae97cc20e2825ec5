"""The registry of published models: a folder NAME/VERSION/{model.safetensors, manifest.json}.

Versions never change; `default` is a file that names the default model and is replaced in one step. Several folders
can be stacked: the models that ship with the package, and those of an installation. Imports no torch.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import ConfigError, ModelError, UnsupportedRawError
from training.manifest import Manifest, read_manifest
from training.raw.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.raw.cells import SensorKind

BUNDLED_MODELS = Path(__file__).parent / "weights"
WEIGHTS_NAME = "model.safetensors"
MANIFEST_NAME = "manifest.json"
DEFAULT_NAME = "default"
SENSOR_MODELS: dict[SensorKind, str] = {"x-trans": "photosite-xtrans", "monochrome": "photosite-monochrome"}
"""What denoises the mosaics of other sensors than Bayer's where no model is named; theirs get the default."""
SENSOR_NAMES: dict[SensorKind, str] = {"bayer": "Bayer", "x-trans": "X-Trans", "monochrome": "monochrome"}
"""What people call them."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One version of one model, found in the registry."""

    name: str
    version: str
    path: Path
    """Its folder."""

    def __str__(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"

    @property
    def weights(self) -> Path:
        """Its weights file."""
        return self.path / WEIGHTS_NAME

    def manifest(self) -> Manifest:
        """Its manifest.

        Raises:
            ModelError: It cannot be read.
        """
        return read_manifest(self.path / MANIFEST_NAME)


class Registry:
    """Models in one or more folders; a later folder's `default` wins over an earlier one's."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)

    def references(self) -> list[ModelRef]:
        """Every version of every model, by name, oldest version first."""
        found = [
            ModelRef(manifest.parent.parent.name, manifest.parent.name, manifest.parent)
            for folder in self.folders
            for manifest in folder.glob(f"*/*/{MANIFEST_NAME}")
        ]
        return sorted(found, key=lambda reference: (reference.name, _version_key(reference.version)))

    def list(self) -> list[Manifest]:
        """The manifests of all models, by name, oldest version first."""
        return [reference.manifest() for reference in self.references()]

    def next_version(self, name: str) -> str:
        """The number after the largest that is a version of this model."""
        numbers = [int(each.version) for each in self.references() if each.name == name and each.version.isdecimal()]
        return str(max(numbers, default=0) + 1)

    def default_name(self) -> str:
        """What the default pointer names: NAME or NAME@VERSION.

        Raises:
            ModelError: No folder has one.
        """
        for folder in reversed(self.folders):
            pointer = folder / DEFAULT_NAME
            if pointer.is_file():
                return pointer.read_text(encoding="utf-8").strip()
        raise ModelError("no default model is set: no folder of models has a file `default` that names one")

    def resolve_for(self, sensor: SensorKind, name: str | None = None) -> ModelRef:
        """Find the model for a sensor's mosaics.

        Args:
            sensor: Its kind.
            name: The model that was named, whatever it is for; None for the one that such sensors get.

        Raises:
            ModelError: There is no such model or version, or no default.
            UnsupportedRawError: None was named, and there is none for such sensors.
        """
        usual = SENSOR_MODELS.get(sensor)
        if name is not None or usual is None:
            return self.resolve(name)
        try:
            return self.resolve(usual)
        except ModelError as error:
            kind = SENSOR_NAMES[sensor]
            raise UnsupportedRawError(
                f"the sensor is of the kind {kind}, for which there is no model: {usual} is not installed"
            ) from error

    def resolve(self, name: str | None = None) -> ModelRef:
        """Find a model.

        Args:
            name: "NAME" for its newest version, "NAME@VERSION", or None for the default.

        Raises:
            ModelError: There is no such model or version.
        """
        wanted, _, version = (name or self.default_name()).partition("@")
        if not _NAME.fullmatch(wanted):
            raise ModelError(f"{wanted!r} cannot be the name of a model")
        versions = [reference for reference in self.references() if reference.name == wanted]
        if not versions:
            names = sorted({reference.name for reference in self.references()})
            raise ModelError(f"there is no model {wanted!r}; there are {', '.join(names) or 'none'}")
        if not version:
            return versions[-1]
        match = [reference for reference in versions if reference.version == version]
        if not match:
            raise ModelError(f"the model {wanted!r} has no version {version!r}; the newest is {versions[-1].version}")
        return match[-1]


def check_name(name: str, version: str) -> None:
    """Refuse what cannot be a model's name or version.

    Raises:
        ConfigError: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"name: {name!r} is not one of small letters, digits, '.', '_' and '-', at most 64")
    if not _VERSION.fullmatch(version):
        raise ConfigError(f"version: {version!r} is not one of letters, digits, '.', '_' and '-', at most 64")


def check_new(known: Registry, name: str, version: str) -> None:
    """Refuse a version that exists.

    Raises:
        ConfigError: It does.
    """
    if version in [reference.version for reference in known.references() if reference.name == name]:
        following = known.next_version(name)
        raise ConfigError(f"version: {name}@{version} exists, and versions never change; the next is {following}")


def require_bayer(manifest: Manifest, what: str) -> None:
    """Refuse a model of other sensors for what knows Bayer mosaics alone.

    Args:
        manifest: The model's.
        what: What the model was named for.

    Raises:
        ConfigError: It takes no Bayer mosaics.
    """
    if manifest.sensor != "bayer":
        kind = SENSOR_NAMES[manifest.sensor]
        raise ConfigError(
            f"{what}: the model {manifest.reference} is for {kind} sensors; this is for Bayer sensors alone"
        )


def check_sensor(manifest: Manifest, sensor: SensorKind) -> None:
    """Refuse a file for a model that does not take its mosaic.

    Raises:
        UnsupportedRawError: It is of another kind of sensor.
    """
    if manifest.sensor != sensor:
        taken, given = SENSOR_NAMES[manifest.sensor], SENSOR_NAMES[sensor]
        usual = SENSOR_MODELS.get(sensor)
        other = f"the model {usual}" if usual else "the default model"
        raise UnsupportedRawError(
            f"the model {manifest.reference} takes mosaics of {taken} sensors, and this one is of the kind {given}; "
            f"{other} takes it"
        )


def remove_models(references: Sequence[ModelRef]) -> None:
    """Undo `new_version` for some versions of one model: each is gone at once, whoever has loaded it keeps it.

    Raises:
        ConfigError: Their folder cannot be written to.
    """
    try:
        for reference in references:
            with tempfile.TemporaryDirectory(dir=reference.path.parent) as aside:
                reference.path.rename(Path(aside) / "model")  # one step; deeper than versions are looked for
        for folder in {reference.path.parent for reference in references}:
            with suppress(OSError):  # what holds other versions stays
                folder.rmdir()
    except OSError as error:
        raise ConfigError(f"models: {error.filename} cannot be removed: {error.strerror or error}") from error


@contextmanager
def new_version(folder: Path, name: str, version: str, unfinished_dir: Path | None = None) -> Iterator[ModelRef]:
    """A place to write a model to, which becomes that version when the block ends without an error.

    Args:
        folder: The registry's folder.
        name: Name of the model.
        version: Its version.
        unfinished_dir: A folder on the same disk for the model in the making, which a crash leaves there; None: beside
            the version.

    Raises:
        ConfigError: It cannot be named so, exists, or the folder cannot be written to.
    """
    check_name(name, version)
    check_new(Registry([folder]), name, version)
    target = folder / name / version
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=unfinished_dir or target.parent) as unfinished:
                reference = ModelRef(name, version, Path(unfinished) / "model")
                reference.path.mkdir()
                yield reference
                reference.weights.chmod(0o644)  # safetensors makes it private; services run as other users
                reference.path.rename(target)
        finally:
            with suppress(OSError):  # what holds other versions stays
                target.parent.rmdir()
    except OSError as error:
        raise ConfigError(f"registry: {folder} cannot be written to: {error.strerror or error}") from error


def set_default(folder: Path, name: str) -> None:
    """Point a folder's default at a model, in one step.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / DEFAULT_NAME) as file:
            file.write(f"{name}\n".encode())
    except OSError as error:
        raise ConfigError(f"models: {folder} cannot be written to: {error.strerror or error}") from error


def default_registry(*folders: Path) -> Registry:
    """The models that ship with the package, and those of an installation's own folders."""
    return Registry([BUNDLED_MODELS, *folders])


def _version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Sort "10" after "9", and text after numbers.

    >>> sorted(["1.10", "1.9", "2"], key=_version_key)
    ['1.9', '1.10', '2']
    """
    return tuple((int(part), "") if part.isdigit() else (1 << 62, part) for part in re.split(r"[.\-_]", version))
