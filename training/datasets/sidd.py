"""SIDD-Medium raw: noisy and clean mosaics of phones, and two noisy frames of every scene.

A folder per scene instance, with NNNN_NOISY_RAW_0XX.MAT and NNNN_GT_RAW_0XX.MAT (MATLAB 7.3, variable x: float32, black
subtracted, white 1, clipped to [0, 1]) and NNNN_METADATA_RAW_0XX.MAT (a struct of the DNG's tags).

In the flow: **SIDD** → cache → crop → patch.

Source: Abdelhamed et al., "A High-Quality Denoising Dataset for Smartphone Cameras", CVPR 2018; tags CFAPattern
(33422) and NoiseProfile (51041) as MATLAB's imfinfo lists them, by number under UnknownTags.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from training.datasets.augment import augment, draw_augmentation, draw_place, smallest_mosaic
from training.datasets.base import Patch
from training.datasets.cache import CACHE_NAME, CachedMosaic, MosaicCache, Steps
from training.datasets.matlab import array_shape, read_array, read_struct, walk
from training.datasets.sidd_scenes import BENCHMARK_SCENES, CFA_BY_CAMERA, Scene, parse_scene
from training.errors import ConfigError, RawError
from training.noise import NoiseModel
from training.noise_choice import choose_noise
from training.raw.bayer import pack, parse_cfa_pattern, red_position
from training.raw.image import ActiveArea, RawMetadata
from training.raw.levels import Levels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.raw.bayer import CfaPattern

VARIABLE = "x"
CFA_TAG, NOISE_TAG = 33422, 51041
MAX_PROBLEMS = 5
"""Wrong files that an error names; the others are counted."""


class PairFiles(NamedTuple):
    """The files of one noisy frame."""

    scene: Scene
    noisy: Path
    clean: Path
    metadata: Path | None


class FrameFacts(NamedTuple):
    """What a metadata file says; None for what it does not say."""

    cfa_pattern: CfaPattern | None = None
    noise: NoiseModel | None = None
    white: float | None = None
    """White minus black, in the file's own numbers."""


@dataclass(frozen=True, slots=True)
class SiddPair:
    """A noisy frame and its clean one, ready to be cropped."""

    name: str
    noisy: CachedMosaic
    clean: CachedMosaic
    second: CachedMosaic | None
    """Another noisy frame of the same scene and size."""
    cfa_pattern: CfaPattern
    shot_noise: float
    read_noise: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SiddRaws:
    """Draws patches from SIDD-Medium; the same seed draws the same patch."""

    pairs: tuple[SiddPair, ...]
    patch_size: int
    """Height and width of a patch in packed pixels."""

    def draw(self, seed: Sequence[int]) -> Patch:
        """One patch, wholly decided by `seed`."""
        rng = np.random.default_rng(seed)
        pair = self.pairs[int(rng.integers(len(self.pairs)))]
        height, width = pair.noisy.shape
        place = draw_place(rng, (height, width), pair.cfa_pattern, self.patch_size)
        augmentation = draw_augmentation(rng)

        def crop(frame: CachedMosaic) -> NDArray[np.float32]:
            return augment(frame.read(place.slices), augmentation)

        return Patch(
            noisy=crop(pair.noisy),
            clean=crop(pair.clean),
            second=None if pair.second is None else crop(pair.second),
            shot_noise=pair.shot_noise,
            read_noise=pair.read_noise,
            source=f"{pair.name} at row {place.top}, column {place.left}",
        )


def open_sidd(
    folder: Path,
    *,
    patch_size: int,
    cache: Path | None = None,
    patterns: Mapping[str, CfaPattern] | None = None,
) -> SiddRaws:
    """Check the whole data set, then decode what is not in the cache yet.

    Args:
        folder: Holds a folder per scene instance, at any depth. The 40 images of the benchmark are left out.
        patch_size: Height and width of a patch in packed pixels.
        cache: Where decoded mosaics are kept; None for a folder inside `folder`.
        patterns: Bayer pattern by camera ("S6"), instead of what metadata and `CFA_BY_CAMERA` say; by "" for scenes
            that name no camera.

    Raises:
        ConfigError: Files are missing, half there, or not what they should be; names file, expected and found.
    """
    files = find_pairs(folder)
    check_pairs(folder, files, patch_size)
    store = MosaicCache(cache or folder / CACHE_NAME)
    facts = [_known_facts(pair, patterns or {}) for pair in files]
    pairs: list[SiddPair] = []
    for pair, known in zip(tqdm(files, desc="decoding SIDD", unit="pair", disable=None), facts, strict=True):
        pairs.append(_open_pair(pair, known, store))
    return SiddRaws(pairs=tuple(_with_seconds(files, pairs)), patch_size=patch_size)


def find_pairs(folder: Path) -> list[PairFiles]:
    """Every noisy frame under a folder, by name, those of the benchmark left out.

    Raises:
        ConfigError: There is none.
    """
    pairs = []
    for noisy in sorted(folder.rglob("*_NOISY_RAW_*.MAT")):
        scene = parse_scene(noisy.parent.name)
        clean, metadata = (noisy.with_name(noisy.name.replace("_NOISY_", f"_{kind}_")) for kind in ("GT", "METADATA"))
        if scene.name not in BENCHMARK_SCENES:
            pairs.append(PairFiles(scene, noisy, clean, metadata if metadata.is_file() else None))
    if not pairs:
        raise ConfigError(f"dataset: {folder}: expected folders with *_NOISY_RAW_*.MAT, found none to train on")
    return pairs


def check_pairs(folder: Path, files: Sequence[PairFiles], patch_size: int) -> None:
    """Open every file, without reading its pixels, and complain about all of them at once.

    Raises:
        ConfigError: At least one is not as it should be, or a clean frame lacks its noisy one.
    """
    problems = [problem for pair in files for problem in _problems(pair, smallest_mosaic(patch_size))]
    clean = (path for path in sorted(folder.rglob("*_GT_RAW_*.MAT")) if path.parent.name not in BENCHMARK_SCENES)
    noisy = (path.with_name(path.name.replace("_GT_", "_NOISY_")) for path in clean)
    problems += [f"{path}: expected a noisy frame, found only its clean one" for path in noisy if not path.exists()]
    if problems:
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        listed = "; ".join(problem.removeprefix("dataset: ") for problem in problems[:MAX_PROBLEMS])
        raise ConfigError(f"dataset: {listed}{more}")


def _problems(pair: PairFiles, smallest: int) -> list[str]:
    """What is wrong with one pair, in sentences."""
    problems, shapes = [], []
    for path in (pair.noisy, pair.clean):
        try:
            shapes.append(array_shape(path, VARIABLE))
        except ConfigError as error:
            problems.append(error.message)
    if problems:
        return problems
    noisy, clean = shapes
    if len(noisy) != 2 or min(noisy) < smallest:
        return [f"{pair.noisy}: expected a mosaic of at least {smallest}×{smallest}, found {_size(noisy)}"]
    if clean != noisy:
        return [f"{pair.clean}: expected {_size(noisy)} as in {pair.noisy.name}, found {_size(clean)}"]
    return []


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def read_facts(path: Path) -> FrameFacts:
    """Pattern, noise and levels of a frame from its metadata file, of either MATLAB kind.

    Raises:
        ConfigError: The file cannot be read.
    """
    structs = list(walk(read_struct(path)))
    tags = {_number(struct["ID"]): struct.get("Value", ()) for struct in structs if "ID" in struct}
    cell = [int(value) for value in np.ravel(tags.get(CFA_TAG, ()))]
    pattern = "".join("RGB"[value] for value in cell) if len(cell) == 4 and set(cell) <= {0, 1, 2} else ""
    black, white = (_first(structs, name) for name in ("BlackLevel", "WhiteLevel"))
    return FrameFacts(
        cfa_pattern=parse_cfa_pattern(pattern),
        noise=_noise(np.ravel(tags.get(NOISE_TAG, ()))),
        white=white - (black or 0) if white and white > (black or 0) else None,
    )


def _number(value: Any) -> int:
    numbers = np.ravel(value)
    return int(numbers[0]) if numbers.size and np.issubdtype(numbers.dtype, np.number) else -1


def _first(structs: Sequence[dict[str, Any]], name: str) -> float | None:
    """The mean of a field in the first struct that has numbers there."""
    found = [np.ravel(struct[name]) for struct in structs if name in struct]
    return next((float(np.mean(values)) for values in found if values.size and values.dtype != object), None)


def _noise(profile: NDArray[Any]) -> NoiseModel | None:
    """NoiseProfile as one pair, the mean over channels; None where it is no noise model."""
    if not profile.size or profile.size % 2 or profile.dtype == object:
        return None
    shot, read = profile.reshape(-1, 2).mean(axis=0).tolist()
    try:
        return NoiseModel.uniform(shot_noise=shot, read_noise=read)
    except ValueError:
        return None


def _known_facts(pair: PairFiles, patterns: Mapping[str, CfaPattern]) -> FrameFacts:
    """What is known before any pixel is read; the pattern is certain afterwards.

    Raises:
        ConfigError: Nobody says which pattern.
    """
    facts = read_facts(pair.metadata) if pair.metadata else FrameFacts()
    pattern = patterns.get(pair.scene.camera) or facts.cfa_pattern or CFA_BY_CAMERA.get(pair.scene.camera)
    if pattern is None:
        raise ConfigError(
            f"dataset: {pair.noisy}: expected a Bayer pattern from its metadata or a camera in its folder's name "
            f"({', '.join(CFA_BY_CAMERA)}), found neither; the pattern can be given (--cfa)"
        )
    return facts._replace(cfa_pattern=pattern)


def _open_pair(pair: PairFiles, facts: FrameFacts, store: MosaicCache) -> SiddPair:
    """A pair from the cache, decoded first where it is not there."""
    pattern = facts.cfa_pattern or "RGGB"
    steps = Steps(divisor=facts.white) if facts.white else None
    noisy = store.find(pair.noisy)
    if noisy is None:
        mosaic = read_array(pair.noisy, VARIABLE)
        noise, origin = frame_noise(mosaic, pattern, facts.noise, str(pair.noisy))
        noisy = store.add(pair.noisy, mosaic, {"noise": noise.to_profile(), "noise_source": origin}, steps)
    clean = store.find(pair.clean) or store.add(pair.clean, read_array(pair.clean, VARIABLE), {}, steps)
    shot, read = noisy.facts["noise"]
    return SiddPair(f"{pair.scene.name}/{pair.noisy.name}", noisy, clean, None, pattern, shot, read)


def frame_noise(
    mosaic: NDArray[np.float32], cfa_pattern: CfaPattern, profile: NoiseModel | None, name: str
) -> tuple[NoiseModel, str]:
    """The noise model of a normalised frame, and where it came from: its profile or its pixels, as when serving.

    Args:
        mosaic: (H, W) float32, linear, clipped to [0, 1] as SIDD's are.
        cfa_pattern: Its pattern.
        profile: Its NoiseProfile, None if it has none.
        name: For the error message.

    Raises:
        ConfigError: It has no profile, and no place flat enough to estimate its noise.
    """
    height, width = mosaic.shape
    row, column = red_position(cfa_pattern)
    packed = pack(mosaic[row : height - (height - row) % 2, column : width - (width - column) % 2])
    metadata = RawMetadata(
        make="",
        model="",
        iso=None,
        width=width,
        height=height,
        bits_per_sample=16,
        compression="MATLAB",
        cfa_pattern=cfa_pattern,
        active_area=ActiveArea(0, 0, height, width),
        levels=Levels(black_level=(0, 0, 0, 0), white_level=1),
        noise_profile=profile,
    )
    try:
        choice = choose_noise(packed, metadata)
    except RawError as error:
        found = "found neither that nor a place flat enough to estimate it"
        raise ConfigError(f"dataset: {name}: expected a NoiseProfile in its metadata, {found}") from error
    return choice.model, choice.source


def _with_seconds(files: Sequence[PairFiles], pairs: Sequence[SiddPair]) -> list[SiddPair]:
    """Give every pair another noisy frame of its scene, where there is one of its size."""
    complete = []
    for file, pair in zip(files, pairs, strict=True):
        others = [
            other.noisy
            for other_file, other in zip(files, pairs, strict=True)
            if other is not pair
            and other_file.noisy.parent == file.noisy.parent
            and other.noisy.shape == pair.noisy.shape
        ]
        complete.append(dataclasses.replace(pair, second=others[0] if others else None))
    return complete
