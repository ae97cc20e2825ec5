"""The whole flow around the network: what changes, what stays, and what the file says afterwards."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from dng_factory import LAYOUTS, encode_jpeg, fix_bad_pixels_list, make_dng, opcode_list, sample_mosaic
from engines import KnownEngine, half

from training.denoise import DenoiseOptions, denoise_file, denoise_packed, error_ratio, run_tiled
from training.errors import AlreadyDenoisedError, ConfigError
from training.noise import NoiseModel
from training.output import OutputOptions
from training.raw.bayer import CFA_PATTERNS
from training.raw.dng import read_metadata, read_raw
from training.raw.layout import find_mosaic
from training.raw.levels import normalise
from training.raw.previews import find_previews, preview_ranges
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from dng_factory import Layout
    from numpy.typing import NDArray

    from training.output import Preview
    from training.raw.bayer import CfaPattern

NOISE = NoiseModel.uniform(shot_noise=1e-4, read_noise=1e-6)
KEEP = DenoiseOptions(noise=NOISE, precision="keep")


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("area", [(0, 0, 120, 150), (3, 5, 116, 149), (2, 1, 119, 150)])
def test_an_engine_that_changes_nothing_gives_the_same_mosaic(
    tmp_path: Path, cfa_pattern: CfaPattern, area: tuple[int, int, int, int]
) -> None:
    mosaic = sample_mosaic(120, 150)
    source = make_dng(tmp_path / "in.dng", mosaic, cfa_pattern=cfa_pattern, active_area=area, black_level=512)
    denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(), options=KEEP)
    np.testing.assert_array_equal(read_raw(tmp_path / "out.dng").mosaic, mosaic)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_every_photosite_is_denoised_in_its_own_units(tmp_path: Path, cfa_pattern: CfaPattern) -> None:
    mosaic = sample_mosaic(97, 131)
    blacks = {"R": 500.0, "Gr": 512.5, "Gb": 530.0, "B": 555.0}
    in_file = {"RGGB": "R Gr Gb B", "GRBG": "Gr R B Gb", "GBRG": "Gb B R Gr", "BGGR": "B Gb Gr R"}[cfa_pattern]
    levels = [blacks[name] for name in in_file.split()]
    source = make_dng(
        tmp_path / "in.dng",
        mosaic,
        cfa_pattern=cfa_pattern,
        active_area=(1, 3, 96, 130),
        black_level=levels,
        black_repeat=(2, 2),
    )
    denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(half), options=KEEP)
    before, after = read_raw(source), read_raw(tmp_path / "out.dng")
    signal = normalise(before.active_mosaic, before.metadata.levels, cfa_pattern)
    result = normalise(after.active_mosaic, after.metadata.levels, cfa_pattern)
    inside = before.active_mosaic < before.metadata.levels.white_level
    assert np.abs(result - signal / 2)[inside].max() < 0.51 / 15000  # rounding, in units of the range
    np.testing.assert_array_equal(after.mosaic[0], mosaic[0])  # outside the active area
    np.testing.assert_array_equal(after.mosaic[:, :3], mosaic[:, :3])


def test_strength_blends_between_input_and_output(tmp_path: Path) -> None:
    packed = np.random.default_rng(0).random((4, 40, 50), dtype=np.float32)
    blended = denoise_packed(packed, KnownEngine(half), NOISE, 0.25)
    np.testing.assert_allclose(blended, packed * 0.875, rtol=1e-6)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strength_0_gives_the_mosaic_back_bit_for_bit(
    tmp_path: Path, layout: Layout, bits: int, cfa_pattern: CfaPattern
) -> None:
    mosaic = sample_mosaic(131, 150, bits=bits)
    options: dict[str, Any] = {"cfa_pattern": cfa_pattern, "bits": bits, "layout": layout}
    source = make_dng(tmp_path / "in.dng", mosaic, noise_profile=(1e-4, 1e-7), active_area=(3, 5, 130, 149), **options)
    engine = KnownEngine(half)
    report = denoise_file(source, tmp_path / "out.dng", engine=engine, options=DenoiseOptions(strength=0))
    np.testing.assert_array_equal(read_raw(tmp_path / "out.dng").mosaic, mosaic)
    assert (report.precision_shift, engine.noises) == (0, [])
    assert not read_metadata(tmp_path / "out.dng").denoised_by


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("sub_ifd", [False, True])
def test_strength_0_gives_a_linearised_mosaic_back_bit_for_bit(
    tmp_path: Path, byte_order: Literal["<", ">"], sub_ifd: bool
) -> None:
    stored = sample_mosaic(80, 96, bits=8)
    curve = [round(16000 * (code / 255) ** 2) for code in range(256)]
    source = make_dng(
        tmp_path / "in.dng", stored, bits=8, linearization_table=curve, byte_order=byte_order, sub_ifd=sub_ifd,
        white_level=16000, noise_profile=(1e-4, 1e-7),
    )  # fmt: skip
    denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(half), options=DenoiseOptions(strength=0))
    np.testing.assert_array_equal(read_raw(tmp_path / "out.dng").mosaic, np.array(curve, dtype=np.uint16)[stored])


def test_two_runs_give_byte_equal_files(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(80, 90))
    outputs = [tmp_path / "a.dng", tmp_path / "b.dng"]
    for output in outputs:
        denoise_file(source, output, engine=KnownEngine(half), options=KEEP)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_other_options_give_another_unique_id(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(80, 90))
    for strength in (0.5, 0.6):
        options = DenoiseOptions(noise=NOISE, precision="keep", strength=strength)
        denoise_file(source, tmp_path / f"{strength}.dng", engine=KnownEngine(), options=options)
    assert (tmp_path / "0.5.dng").read_bytes() != (tmp_path / "0.6.dng").read_bytes()


def test_clipped_surroundings_stay_clipped_and_a_lone_clipped_photosite_does_not(tmp_path: Path) -> None:
    mosaic = np.full((96, 96), 8000, dtype=np.uint16)
    mosaic[:40, :40] = 16383
    mosaic[70, 70] = 16383
    source = make_dng(tmp_path / "in.dng", mosaic)

    def smooth(tile: np.ndarray) -> np.ndarray:
        return np.where(tile > 0.9, np.float32(0.9999), np.float32(0.4))

    def lone_is_noise(tile: np.ndarray) -> np.ndarray:
        result = smooth(tile)
        result[:, 30:] = 0.4
        return result

    engine = KnownEngine(lone_is_noise, tile_size=256)
    denoise_file(source, tmp_path / "out.dng", engine=engine, options=KEEP)
    result = read_raw(tmp_path / "out.dng").mosaic
    assert (result[:38, :38] == 16383).all()
    assert result[70, 70] == round(0.4 * 16383)


def test_coarse_files_get_finer_steps_and_their_levels_follow(tmp_path: Path) -> None:
    mosaic = sample_mosaic(80, 96, bits=10)
    source = make_dng(tmp_path / "in.dng", mosaic, bits=10, black_level=64, white_level=1023)
    options = DenoiseOptions(noise=NoiseModel.uniform(shot_noise=1e-4, read_noise=1e-6))
    report = denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(), options=options)
    after = read_raw(tmp_path / "out.dng")
    # σ = √1e-6 · 959 = 0.959 numbers, ⌈log₂(4 / 0.959)⌉ = 3
    assert report.precision_shift == 3
    assert after.metadata.levels.black_level == (512,) * 4
    assert after.metadata.levels.white_level == 8184
    np.testing.assert_array_equal(after.mosaic, mosaic * 8)


def test_the_shift_stops_where_16_bits_end(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(80, 96, bits=14))
    options = DenoiseOptions(noise=NoiseModel.uniform(shot_noise=1e-6, read_noise=1e-12))
    report = denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(), options=options)
    assert report.precision_shift == 2


def test_marked_bad_photosites_are_hidden_from_the_network_and_left_as_they_were(tmp_path: Path) -> None:
    mosaic = np.full((80, 96), 4000, dtype=np.uint16)
    mosaic[20, 30] = 15000
    opcodes = opcode_list(fix_bad_pixels_list([(20, 30)]))
    source = make_dng(tmp_path / "in.dng", mosaic, opcode_list1=opcodes)
    seen = []

    def look(tile: np.ndarray) -> np.ndarray:
        seen.append(float(tile.max()))
        return half(tile)

    denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(look), options=KEEP)
    result = read_raw(tmp_path / "out.dng").mosaic
    assert max(seen) == pytest.approx(4000 / 16383, rel=1e-6)
    assert result[20, 30] == 15000
    assert result[20, 32] == 2000


def test_the_file_says_how_much_noise_is_left(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(80, 90))
    denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(), options=KEEP)
    metadata = read_metadata(tmp_path / "out.dng")
    ratio = error_ratio([[1e-5, 0.9], [1e-3, 0.5]], 1e-4)
    assert ratio == pytest.approx(0.7)
    assert metadata.noise_profile is not None
    assert metadata.noise_profile.shot_noise[0] == pytest.approx(1e-4 * ratio**2)
    assert metadata.noise_reduction_applied == 1
    assert metadata.denoised_by == "photosite"


def test_a_denoised_file_is_refused_unless_forced(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(80, 90))
    once, twice = tmp_path / "once.dng", tmp_path / "twice.dng"
    denoise_file(source, once, engine=KnownEngine(), options=KEEP)
    with pytest.raises(AlreadyDenoisedError, match="photosite"):
        denoise_file(once, twice, engine=KnownEngine(), options=KEEP)
    assert not twice.exists()
    denoise_file(once, twice, engine=KnownEngine(), options=DenoiseOptions(noise=NOISE, force=True))
    assert twice.exists()


def test_the_noise_in_use_reaches_the_engine_and_the_report(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(80, 90), noise_profile=(2e-4, 3e-6))
    engine = KnownEngine()
    options = DenoiseOptions(noise=NOISE)
    report = denoise_file(source, tmp_path / "out.dng", engine=engine, options=options)
    assert set(engine.noises) == {NOISE}
    assert (report.noise, report.noise_source) == (NOISE, "request")
    assert report.to_json()["noise"]["shot_noise"] == NOISE.shot_noise


def test_what_progress_raises_ends_the_work_and_leaves_nothing(tmp_path: Path) -> None:
    source = make_dng(tmp_path / "in.dng", sample_mosaic(160, 160))

    def stop(stage: str, share: float) -> None:
        if stage == "network" and share > 0:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(), options=KEEP, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in.dng"]


def test_pictures_of_several_threads_take_turns_on_an_engine() -> None:
    inside, pictures = Lock(), np.random.default_rng(0).random((6, 4, 96, 128), dtype=np.float32)

    def alone(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        assert inside.acquire(blocking=False), "another picture's tile is being computed"
        time.sleep(0.001)
        inside.release()
        return tile

    engine = KnownEngine(alone)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda picture: run_tiled(picture, engine, NOISE, tile=64, halo=8), pictures))
    np.testing.assert_array_equal(results, pictures)


def test_a_picture_that_fails_leaves_the_engine_to_the_next() -> None:
    def fail(stage: str, share: float) -> None:
        raise KeyboardInterrupt

    engine, picture = KnownEngine(), np.zeros((4, 64, 64), dtype=np.float32)
    with pytest.raises(KeyboardInterrupt):
        run_tiled(picture, engine, NOISE, tile=64, halo=8, progress=fail)
    np.testing.assert_array_equal(run_tiled(picture, engine, NOISE, tile=64, halo=8), picture)


def test_progress_counts_the_tiles_to_the_end(tmp_path: Path) -> None:
    shares: list[float] = []
    run_tiled(
        np.zeros((4, 100, 100), dtype=np.float32),
        KnownEngine(),
        NOISE,
        tile=64,
        halo=8,
        progress=lambda _, share: shares.append(share),
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ConfigError, match="strength"):
        DenoiseOptions(strength=strength)


@pytest.mark.parametrize("preview", ["keep", "render", "none"])
def test_a_byte_outside_the_ranges_that_the_readme_names_stays(tmp_path: Path, preview: Preview) -> None:
    source = make_dng(
        tmp_path / "in.dng", sample_mosaic(300, 333), sub_ifd=True, preview=encode_jpeg(160, 120),
        maker_note=b"offsets in here are absolute" * 3, xmp=b"<not xml>", noise_profile=(1e-4, 1e-6), black_level=500,
    )  # fmt: skip
    output = OutputOptions(preview=preview)
    denoise_file(source, tmp_path / "out.dng", engine=KnownEngine(half), options=DenoiseOptions(), output=output)
    before, after = (np.frombuffer(path.read_bytes(), np.uint8) for path in (source, tmp_path / "out.dng"))
    with open_tiff(source) as tiff:
        layout, places = find_mosaic(tiff), find_previews(tiff)
        free = [(chunk.offset, chunk.offset + chunk.size) for chunk in layout.chunks]
        pointers = {4, layout.directory.pointer_offset}
        if preview != "keep":
            free += [extent for place in places for extent in preview_ranges(tiff, place.directory)]
            pointers |= {place.directory.pointer_offset for place in places}
        free += [(pointer, pointer + 4) for pointer in pointers]
    stays = np.ones(len(before), dtype=np.bool_)
    for start, end in free:
        stays[start : end + end % 2] = False  # an alignment byte may follow
    common = min(len(before), len(after))
    assert (before[:common] == after[:common])[stays[:common]].all()
    assert not stays[common:].any(), "only the mosaic's end may be cut off"
    assert stays.sum() > 500
