"""The whole flow of a burst: what comes out, what the file says, and what is refused, and why."""

from __future__ import annotations

import hashlib
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bursts import BLACK, NOISE, WHITE, cut, make_burst
from captured_frames import make_scene
from dng_factory import make_dng, sample_mosaic
from engines import KnownEngine, half
from rewriting import adobe_mosaic, rawpy_mosaic
from vendor_factory import make_nef

from training.burst.denoise import denoise_burst, denoise_merged
from training.burst.merging import Merged
from training.denoise import DenoiseOptions, denoise_packed
from training.errors import AlreadyDenoisedError, ConfigError, UnsupportedRawError
from training.noise import NoiseModel
from training.raw import tags
from training.raw.bayer import CFA_PATTERNS
from training.raw.dng import read_metadata, read_raw
from training.raw.patterns import phase_of
from training.raw.tiff import open_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from training.burst.denoise import BurstReport

SCENE = make_scene(400, 456, seed=11)
SHIFTS = [(0, 0), (4, -6), (-2, 8), (10, 2)]
PLAIN = DenoiseOptions()


def run(sources: list[Path], target: Path, engine: Any = None, **options: Any) -> BurstReport:
    """Denoise a burst by an engine that changes nothing, unless given."""
    return denoise_burst(sources, target, engine=engine or KnownEngine(), options=DenoiseOptions(**options))


def signal(path: Path) -> np.ndarray:
    """(h, w) the normalised mosaic of a file whose four blacks are one."""
    raw = read_raw(path)
    black, white = raw.metadata.levels.black_level[0], raw.metadata.levels.white_level
    return (raw.active_mosaic - black) / (white - black)


@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, "Y"])
def test_frames_are_merged_onto_the_first_one(tmp_path: Path, cfa_pattern: str) -> None:
    sources = make_burst(tmp_path, [SCENE] * 4, SHIFTS, cfa_pattern=cfa_pattern)
    report = run(sources, tmp_path / "out.dng", KnownEngine(sensor=phase_of(cfa_pattern).cell.kind))
    error = signal(tmp_path / "out.dng") - cut(SCENE)
    variance = NOISE.shot_noise[0] * cut(SCENE) + NOISE.read_noise[0]
    inside = np.s_[12:-12, 12:-12]
    assert float((np.square(error) / variance)[inside].mean()) == pytest.approx(1 / 4, rel=0.05)
    assert [frame.shift for frame in report.frames] == SHIFTS
    assert report.merged_frames == pytest.approx(4, abs=0.1)
    assert all(frame.agreement > 0.95 for frame in report.frames)


def test_the_output_is_the_first_frames_file_and_names_them_all(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE] * 4, SHIFTS, maker_note=b"kept where it was", active_area=(2, 3, 300, 350))
    first = read_raw(sources[0])
    run(sources, tmp_path / "out.dng")
    after = read_raw(tmp_path / "out.dng")
    scale = 2 ** round(np.log2(after.metadata.levels.white_level / WHITE))
    np.testing.assert_array_equal(after.mosaic[:2], scale * first.mosaic[:2])  # outside the active area
    assert after.metadata.levels.black_level == (scale * BLACK,) * 4
    for mosaic in (rawpy_mosaic(tmp_path / "out.dng"), adobe_mosaic(tmp_path / "out.dng")):
        np.testing.assert_array_equal(mosaic, after.mosaic)
    data, source = (tmp_path / "out.dng").read_bytes(), sources[0].read_bytes()
    assert data.index(b"kept where it was") == source.index(b"kept where it was")
    assert b'photosite:Burst="0.dng, 1.dng, 2.dng, 3.dng"' in data
    assert after.metadata.denoised_by == "photosite"


def test_the_network_is_told_the_noise_of_the_merged_frames(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE] * 4, [(0, 0)] * 4)
    engine = KnownEngine()
    report = run(sources, tmp_path / "out.dng", engine)
    told = {round(NOISE.shot_noise[0] / noise.shot_noise[0], 2) for noise in engine.noises}
    assert max(told) == pytest.approx(4, abs=0.02)
    assert report.noise.shot_noise[0] == pytest.approx(NOISE.shot_noise[0] / 4, rel=0.02)
    left = read_metadata(tmp_path / "out.dng").noise_profile
    assert left is not None
    assert left.shot_noise[0] < NOISE.shot_noise[0] / 4


def test_where_frames_moved_the_network_is_told_of_more_noise() -> None:
    packed = np.full((4, 64, 128), 0.5, dtype=np.float32)
    frames = np.full((64, 128), 8, dtype=np.float32)
    frames[:, 64:] = 1
    engine = KnownEngine(tile_size=32, halo=0)
    denoise_merged(Merged(packed, frames), engine, NOISE)
    told = [round(NOISE.shot_noise[0] / noise.shot_noise[0]) for noise in engine.noises]
    assert told == [8, 8, 1, 1] * 2, "one level a tile where a tile has one"


def test_levels_are_blended_place_by_place() -> None:
    class Teller(KnownEngine):
        """Gives back how many frames it was told of."""

        def denoise_tile(self, tile: Any, noise: NoiseModel) -> Any:
            return np.full_like(tile, NOISE.shot_noise[0] / noise.shot_noise[0])

    frames = np.tile(np.float32([1, 2, 4, 8, 3, 1.5, 8, 8]), (32, 8))
    merged = Merged(np.zeros((4, 32, 64), np.float32), frames)
    told = denoise_merged(merged, Teller(), NOISE)
    np.testing.assert_allclose(told[0, 0, :8], [1, 2, 4, 8, 3.17, 1.585, 8, 8], rtol=1e-3)


def test_one_level_is_denoised_as_a_single_frame_is() -> None:
    packed = np.random.default_rng(0).random((4, 40, 50), dtype=np.float32)
    frames = np.full((40, 50), 4, dtype=np.float32)
    for strength in (0.25, 1.0):
        burst = denoise_merged(Merged(packed, frames), KnownEngine(half), NOISE, strength)
        np.testing.assert_allclose(burst, denoise_packed(packed, KnownEngine(half), NOISE, strength), rtol=1e-6)


def test_strength_0_merges_and_runs_no_network(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE] * 4, [(0, 0)] * 4)
    engine = KnownEngine(half)
    report = run(sources, tmp_path / "out.dng", engine, strength=0)
    assert engine.noises == []
    mean = np.mean([signal(source) for source in sources], axis=0)
    differs = np.abs(signal(tmp_path / "out.dng") - mean) > 0.6 / (2**report.precision_shift * (WHITE - BLACK))
    assert differs.mean() < 0.1, "but for places where noise looked like motion"
    after = read_metadata(tmp_path / "out.dng")
    assert after.noise_profile is not None
    assert after.noise_profile.shot_noise[0] == pytest.approx(NOISE.shot_noise[0] / 4, rel=0.02)
    assert after.noise_reduction_applied == 0
    assert b"photosite:Burst=" in (tmp_path / "out.dng").read_bytes()


def test_the_same_burst_gives_the_same_bytes_and_another_one_another_id(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE] * 3, SHIFTS[:3])
    ids = []
    for name, frames in (("a", sources), ("b", sources), ("c", sources[:2])):
        run(frames, tmp_path / name)
        with open_tiff(tmp_path / name) as tiff:
            ids.append(tiff.value_bytes(tiff.chain[0].entries[tags.RAW_DATA_UNIQUE_ID]))
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    assert ids[0] == ids[1] != ids[2]


def test_frames_of_another_makers_raw_become_a_dng(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clean = make_scene(300, 400, seed=2) * 3000
    sources = [
        make_nef(tmp_path / f"{index}.nef", np.rint(clean + rng.normal(0, 20, clean.shape)).astype(np.uint16))
        for index in range(3)
    ]
    report = run(sources, tmp_path / "out.dng", noise=NoiseModel.uniform(shot_noise=1e-9, read_noise=(20 / 4095) ** 2))
    assert [frame.shift for frame in report.frames] == [(0, 0)] * 3
    scale = read_metadata(tmp_path / "out.dng").levels.white_level / 4095
    assert np.std(read_raw(tmp_path / "out.dng").mosaic / scale - clean) == pytest.approx(20 / 3**0.5, rel=0.05)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"model": "Phantom Two"}, "its camera is Phantom Two, that of 0.dng is Phantom One"),
        ({"cfa_pattern": "BGGR"}, "its colour pattern is BGGR"),
        ({"iso": 3200}, "its ISO speed is 3200"),
        ({"white_level": 15000}, "its white level is 15000"),
        ({"black_level": 64}, "its range from black to white is 15936"),
        ({"active_area": (0, 0, 300, 360)}, "its active area is (0, 0, 300, 360)"),
    ],
)
def test_a_frame_of_another_kind_is_refused(tmp_path: Path, other: dict[str, Any], reason: str) -> None:
    (tmp_path / "other").mkdir()
    first = make_burst(tmp_path, [SCENE], [(0, 0)])
    odd = make_burst(tmp_path / "other", [SCENE] * 2, [(0, 0)] * 2, **other)[1]
    with pytest.raises(UnsupportedRawError) as raised:
        run([*first, odd], tmp_path / "out.dng")
    assert raised.value.message.startswith(f"1.dng does not belong to the burst: {reason}")
    assert not (tmp_path / "out.dng").exists()


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE], [(0, 0)])
    odd = make_dng(tmp_path / "odd.dng", sample_mosaic(96, 128), black_level=BLACK, white_level=WHITE)
    with pytest.raises(UnsupportedRawError, match=r"odd\.dng does not belong to the burst: its size is 128×96"):
        run([*sources, odd], tmp_path / "out.dng")


def test_a_frame_of_another_scene_is_refused(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE, SCENE, make_scene(400, 456, seed=12)], SHIFTS[:3])
    with pytest.raises(UnsupportedRawError, match=r"2\.dng does not show what 0\.dng shows: \d+% of it agree"):
        run(sources, tmp_path / "out.dng")


def test_the_same_exposure_twice_is_refused(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE] * 2, SHIFTS[:2])
    (tmp_path / "other").mkdir()
    for copy in (tmp_path / "copy.dng", tmp_path / "other" / "1.dng"):
        copy.write_bytes(sources[1].read_bytes())
        with pytest.raises(UnsupportedRawError, match=rf"{copy.stem}\.dng is the same exposure as 1\.dng"):
            run([*sources, copy], tmp_path / "out.dng")


def test_one_frame_is_no_burst(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got 1 frame, wanted at least two"):
        run(make_burst(tmp_path, [SCENE], [(0, 0)]), tmp_path / "out.dng")


def test_a_frame_that_was_denoised_is_refused_unless_forced(tmp_path: Path) -> None:
    sources = make_burst(tmp_path, [SCENE] * 3, SHIFTS[:3])
    run(sources[:2], tmp_path / "out.dng", precision="keep")
    with pytest.raises(AlreadyDenoisedError):
        run([sources[2], tmp_path / "out.dng"], tmp_path / "again.dng")
    report = run([sources[2], tmp_path / "out.dng"], tmp_path / "again.dng", force=True)
    assert any("noise reduction was applied" in warning for warning in report.warnings)


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.raw.bands._MAX_THREADS", 1)  # how many meet, and hold something, would be chance
    peaks = []
    for count in (2, 8):
        folder = tmp_path / str(count)
        folder.mkdir()
        sources = make_burst(folder, [SCENE] * count, [(0, 0)] * count)
        tracemalloc.start()
        run(sources, tmp_path / "out.dng")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
