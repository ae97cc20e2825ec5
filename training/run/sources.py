"""Where a preset's patches come from: the folder it is given, opened as the kind of data it wants.

In the flow: folder → **training patches, held-out patches** → loop.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.datasets.captures import open_captures
from training.datasets.files import PICTURE_SUFFIXES, files_under
from training.datasets.mixture import mix
from training.datasets.noisy_pictures import NoisyPictures
from training.datasets.sidd import check_pairs, find_pairs, open_sidd
from training.datasets.sidd_blocks import VALIDATION_NOISY, open_blocks
from training.datasets.sidd_patches import BlockPatches
from training.datasets.splits import held_out_groups
from training.datasets.synthetic import load_pictures, read_pictures
from training.errors import ConfigError
from training.raw.cells import CELLS

if TYPE_CHECKING:
    from pathlib import Path

    from training.config import TrainingConfig
    from training.datasets.base import PatchSource
    from training.datasets.synthetic import SyntheticRaws

_log = logging.getLogger(__name__)

WANTED = {
    "pictures": "a folder of photographs (PNG, JPEG, TIFF), or a pack of them",
    "sidd": "the folder of SIDD-Medium's raw data, best with the validation blocks in it",
    "captures": "a folder of raw files",
    "srgb": "a folder of photographs (PNG, JPEG, TIFF), or a pack of them",
}

PHOTOGRAPHED = ("pictures", "srgb")
"""What photographs are read for."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a run learns from, and what it is judged on."""

    training: PatchSource
    held_out: PatchSource | None
    summary: str
    """One line: how many images of either."""


def open_sources(config: TrainingConfig, folder: Path | None) -> Sources:
    """Check and open a preset's data.

    Raises:
        ConfigError: It is missing, half there, or not what the preset wants; says what was wanted and what was found.
    """
    checked = _existing(config, folder)
    openers = {"pictures": _open_pictures, "sidd": _open_sidd, "captures": _open_captures, "srgb": _open_srgb}
    return openers[config.dataset](config, checked)


def describe_data(config: TrainingConfig, folder: Path | None) -> str:
    """Say what a folder holds for a preset, without decoding anything.

    Raises:
        ConfigError: Nothing that can be trained on.
    """
    checked = _existing(config, folder)
    if config.dataset == "sidd":
        files = find_pairs(checked)
        check_pairs(checked, files, config.patch_size)
        return f"{len(files)} noisy frames in {checked}"
    if checked.is_file():
        return f"the pack {checked}"
    paths = files_under(checked)
    if config.dataset in PHOTOGRAPHED:
        paths = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    count = len(paths)
    if not count:
        raise ConfigError(f"data: nothing to train on in {checked}; {config.preset} wants {WANTED[config.dataset]}")
    return f"{count} files in {checked}"


def _existing(config: TrainingConfig, folder: Path | None) -> Path:
    if folder is None:
        raise ConfigError(f"data: {config.preset} wants {WANTED[config.dataset]}; name it with --data")
    if not (folder.is_dir() or (config.dataset in PHOTOGRAPHED and folder.is_file())):
        raise ConfigError(f"data: there is no folder {folder}; {config.preset} wants {WANTED[config.dataset]}")
    return folder


def _open_pictures(config: TrainingConfig, folder: Path) -> Sources:
    """Judged on the pictures that are held out by name, if the folder has any; else on a share, if one is asked for.

    Drawn pictures, and patches of other exposures, are only learned from.
    """
    options = {
        "patch_size": config.patch_size,
        "scales": config.scales,
        "shot_noise_range": config.shot_noise_range,
        "cell": CELLS[config.sensor],
    }
    everything = load_pictures(folder, **options)  # type: ignore[arg-type]
    kept = held_out_groups(everything.names, config.held_out_share)

    def part(held_out: bool) -> SyntheticRaws:
        chosen = [index for index, name in enumerate(everything.names) if (name in kept) == held_out]
        pictures, names = (
            tuple(values[index] for index in chosen) for values in (everything.pictures, everything.names)
        )
        return dataclasses.replace(everything, pictures=pictures, names=names)  # type: ignore[arg-type]

    def learned_from(photographs: SyntheticRaws) -> PatchSource:
        return dataclasses.replace(
            mix(photographs, config.content),
            dark_share=config.dark_share,
            bright_share=config.bright_share,
            pairs=config.objective == "noise2noise",
        )

    if kept:
        return Sources(
            learned_from(part(held_out=False)),
            part(held_out=True),
            _summary(len(everything.names), len(kept), "pictures"),
        )
    try:
        named = load_pictures(folder, held_out=True, **options)  # type: ignore[arg-type]
    except ConfigError:
        return Sources(learned_from(everything), None, _summary(len(everything.names), 0, "pictures"))
    count = len(named.names)
    return Sources(learned_from(everything), named, _summary(len(everything.names) + count, count, "pictures"))


def _open_srgb(config: TrainingConfig, folder: Path) -> Sources:
    """Judged elsewhere: on the test pictures of a comparison."""
    pictures = read_pictures(folder, config.patch_size)
    training = NoisyPictures(
        pictures=tuple(pictures.values()),
        names=tuple(pictures),
        patch_size=config.patch_size,
        noise=config.picture_noise,
        pairs=config.objective == "noise2noise",
    )
    return Sources(training, None, _summary(len(pictures), 0, "pictures"))


def _open_sidd(config: TrainingConfig, folder: Path) -> Sources:
    """Judged on a share of the scene instances, if one is asked for; else on the validation blocks, where present."""
    everything = open_sidd(folder, patch_size=config.patch_size, patterns=config.cfa_patterns)
    scenes = [pair.name.partition("/")[0] for pair in everything.pairs]
    kept = held_out_groups(scenes, config.held_out_share)
    if kept:
        parts = [
            dataclasses.replace(
                everything,
                pairs=tuple(
                    pair for pair, scene in zip(everything.pairs, scenes, strict=True) if (scene in kept) == held_out
                ),
            )
            for held_out in (False, True)
        ]
        return Sources(parts[0], parts[1], _summary(len(scenes), len(parts[1].pairs), "frames"))
    blocks = next(iter(sorted(folder.rglob(f"{VALIDATION_NOISY}.mat"))), None)
    validation = open_blocks(blocks.parent, patterns=config.cfa_patterns)[0] if blocks else None
    if validation is None or min(validation.shape[2:]) < 2 * config.patch_size:
        return Sources(everything, None, _summary(len(scenes), 0, "frames"))
    held_out = BlockPatches(validation, config.patch_size)
    try:
        held_out.draw((0,))
    except ConfigError as error:  # a training does not need to be judged
        _log.warning("the validation blocks are left out: %s", error.message)
        return Sources(everything, None, _summary(len(scenes), 0, "frames"))
    images, count = validation.shape[:2]
    return Sources(everything, held_out, f"{len(scenes)} frames; judged on {images * count} validation blocks")


def _open_captures(config: TrainingConfig, folder: Path) -> Sources:
    """Judged on a share of the captures, where there are at least two."""
    everything = open_captures(folder, patch_size=config.patch_size)
    kept = held_out_groups([capture.name for capture in everything.captures], config.held_out_share)
    if not kept:
        return Sources(everything, None, _summary(len(everything.captures), 0, "captures"))
    parts = [
        dataclasses.replace(
            everything, captures=tuple(each for each in everything.captures if (each.name in kept) == held_out)
        )
        for held_out in (False, True)
    ]
    return Sources(parts[0], parts[1], _summary(len(everything.captures), len(kept), "captures"))


def _summary(images: int, held_out: int, kind: str) -> str:
    """One line for whoever waits.

    >>> _summary(10, 1, "captures")
    '9 captures; judged on 1 other'
    """
    judged = f"judged on {held_out} other{'s' if held_out > 1 else ''}" if held_out else "nothing held out to judge on"
    return f"{images - held_out} {kind}; {judged}"
