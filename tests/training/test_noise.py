"""The noise model, its estimation from a picture, and the choice between the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.datasets.synthetic import add_noise
from training.errors import UnsupportedRawError
from training.noise import NoiseModel
from training.noise_choice import choose_noise
from training.noise_estimation import cosine_matrix, estimate_noise
from training.raw.image import ActiveArea, RawMetadata
from training.raw.levels import Levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOT, READ = 4e-4, 2e-6


def ramp(height: int = 256, width: int = 384) -> NDArray[np.float64]:
    """(4, h, w) a smooth picture from black to bright."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([0.02 + 0.5 * weight * (rows / height + columns / width) / 2 for weight in (1, 1.2, 1.2, 0.7)])


def noisy_ramp(shot: float = SHOT, read: float = READ) -> NDArray[np.float32]:
    return add_noise(ramp().astype(np.float32), shot, read, np.random.default_rng(3))


def metadata(profile: NoiseModel | None = None) -> RawMetadata:
    return RawMetadata(
        make="",
        model="",
        iso=None,
        width=768,
        height=512,
        bits_per_sample=14,
        compression="uncompressed",
        cfa_pattern="RGGB",
        active_area=ActiveArea(0, 0, 512, 768),
        levels=Levels(black_level=(512,) * 4, white_level=16383),
        noise_profile=profile,
    )


def test_a_profile_of_one_pair_fills_all_channels() -> None:
    assert NoiseModel.from_profile((1e-4, 1e-6)).shot_noise == (1e-4,) * 4


def test_a_profile_of_three_pairs_gives_green_to_both_greens() -> None:
    model = NoiseModel.from_profile((1, 2, 3, 4, 5, 6))
    assert model.shot_noise == (1, 3, 3, 5)
    assert model.read_noise == (2, 4, 4, 6)


@pytest.mark.parametrize("profile", [(1e-4, 1e-6), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)])
def test_to_profile_inverts_from_profile(profile: tuple[float, ...]) -> None:
    assert NoiseModel.from_profile(profile).to_profile() == profile


@pytest.mark.parametrize("profile", [(), (1.0,), (1.0, 2.0, 3.0), (-1.0, 1.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_a_profile_that_cannot_be_a_variance_is_rejected(profile: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        NoiseModel.from_profile(profile)


def test_variance_below_black_is_the_read_noise() -> None:
    model = NoiseModel.uniform(shot_noise=1e-2, read_noise=1e-6)
    assert model.variance(np.full((4, 1, 1), -0.5)).tolist() == [[[1e-6]]] * 4


def test_the_cosine_matrix_is_orthonormal() -> None:
    matrix = cosine_matrix(8)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-6)


@pytest.mark.parametrize(("shot", "read"), [(2e-5, 1e-7), (4e-4, 2e-6), (8e-3, 1e-4)])
def test_the_estimate_finds_the_noise_of_a_smooth_picture(shot: float, read: float) -> None:
    estimate = estimate_noise(noisy_ramp(shot, read))
    assert estimate is not None
    assert estimate.is_sure
    assert estimate.model.shot_noise[0] == pytest.approx(shot, rel=0.1)
    variance, wanted = (
        float(m.variance(np.full((4, 1, 1), 0.2))[0, 0, 0]) for m in (estimate.model, uniform(shot, read))
    )
    assert variance == pytest.approx(wanted, rel=0.05)


def uniform(shot: float, read: float) -> NoiseModel:
    return NoiseModel.uniform(shot_noise=shot, read_noise=read)


def test_the_estimate_is_not_misled_by_texture_over_half_of_the_picture() -> None:
    picture = ramp()
    stripes = 0.2 * (np.arange(picture.shape[2]) % 3 == 0)
    picture[:, :128] += stripes
    noisy = add_noise(picture.astype(np.float32), SHOT, READ, np.random.default_rng(0))
    assert estimate_noise(noisy).model.shot_noise[0] == pytest.approx(SHOT, rel=0.15)


def test_the_estimate_leaves_clipped_pixels_out() -> None:
    noisy = np.clip(noisy_ramp() * 1.5, 0, 1)  # the brighter part is at white
    assert estimate_noise(noisy, black_clip=0.0).model.shot_noise[0] == pytest.approx(1.5 * SHOT, rel=0.15)


def test_there_is_no_estimate_of_a_clipped_picture() -> None:
    assert estimate_noise(np.ones((4, 64, 64), dtype=np.float32)) is None


def test_a_request_is_obeyed() -> None:
    choice = choose_noise(noisy_ramp(), metadata(uniform(SHOT, READ)), uniform(1.0, 1.0))
    assert (choice.source, choice.model) == ("request", uniform(1.0, 1.0))


def test_a_tag_that_agrees_with_the_picture_is_used() -> None:
    choice = choose_noise(noisy_ramp(), metadata(uniform(1.2 * SHOT, READ)))
    assert (choice.source, choice.model.shot_noise[0]) == ("tag", 1.2 * SHOT)


@pytest.mark.parametrize("factor", [1 / 2, 2])
def test_a_tag_that_the_picture_contradicts_is_overruled_with_a_warning(factor: float) -> None:
    choice = choose_noise(noisy_ramp(), metadata(uniform(factor * SHOT, factor * READ)))
    assert choice.source == "estimate"
    assert choice.model.shot_noise[0] == pytest.approx(SHOT, rel=0.1)
    assert "factor of" in choice.warnings[0]


def test_without_tag_the_noise_is_estimated() -> None:
    assert choose_noise(noisy_ramp(), metadata()).source == "estimate"


def test_a_picture_that_shows_no_noise_and_has_no_tag_is_refused_with_advice() -> None:
    with pytest.raises(UnsupportedRawError, match="give the noise model"):
        choose_noise(np.ones((4, 64, 64), dtype=np.float32), metadata())
