"""What a request may ask for."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.schemas import MINI_DATASET, DenoiseParameters, parse_noise
from training.datasets import validation_sets


def test_defaults_denoise_fully_with_the_default_model() -> None:
    assert DenoiseParameters() == DenoiseParameters(model=None, strength=1, noise=None, precision="auto", force=False)


@pytest.mark.parametrize("noise", ["0.001,2e-6", "0,1e-6", "1e-3,0"])
def test_noise_is_two_variances(noise: str) -> None:
    assert DenoiseParameters(noise=noise).noise == noise
    assert parse_noise(noise) == tuple(float(part) for part in noise.split(","))


@pytest.mark.parametrize("noise", ["", "1", "1,2,3", "a,b", "-1,0", "0,0", "nan,1", "inf,0", "1;2"])
def test_other_noise_is_refused(noise: str) -> None:
    with pytest.raises(ValidationError):
        DenoiseParameters(noise=noise)


@pytest.mark.parametrize("model", ["photosite", "photosite@1.0", "a.b-c_d@2026"])
def test_models_are_named_with_or_without_version(model: str) -> None:
    assert DenoiseParameters(model=model).model == model


@pytest.mark.parametrize("model", ["", "../etc", "a/b", "a@", "@1", "a@1@2", "a b", "x" * 65])
def test_other_model_names_are_refused(model: str) -> None:
    with pytest.raises(ValidationError):
        DenoiseParameters(model=model)


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan")])
def test_strength_outside_0_to_1_is_refused(strength: float) -> None:
    with pytest.raises(ValidationError):
        DenoiseParameters(strength=strength)


def test_the_set_that_ships_is_called_the_same_by_the_service_and_the_library() -> None:
    assert validation_sets.MINI == MINI_DATASET
