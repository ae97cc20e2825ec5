"""Published weights: our network gives what theirs would, computed layer by layer from their own names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.denoise import run_tiled
from training.engines import load_engine
from training.errors import ConfigError, ModelError
from training.import_checkpoint import import_checkpoint, main
from training.networks.imported import read_state, translate
from training.noise import NoiseModel
from training.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 6
NOISE = NoiseModel.uniform(shot_noise=1e-3, read_noise=1e-6)


def random_layers(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights and biases of a size that lets the signal through; a transposed convolution's first axis is its input."""
    torch.manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        transposed = "deconv" in name
        state[f"{name}.weight"] = torch.randn(shape) * (2 / (shape[0 if transposed else 1] * shape[2] ** 2)) ** 0.5
        state[f"{name}.bias"] = torch.randn(shape[1 if transposed else 0]) * 0.1
    return state


def neighbor2neighbor(channels: int = 4) -> dict[str, Tensor]:
    """A state dict in Neighbor2Neighbor's names."""
    n, w = WIDTH, 2 * WIDTH
    shapes: dict[str, tuple[int, ...]] = {"enc_conv0": (n, channels, 3, 3)}
    shapes |= {f"enc_conv{i}": (n, n, 3, 3) for i in range(1, 7)}
    for level in (5, 4, 3, 2, 1):
        lower = n if level == 5 else w
        skip = channels if level == 1 else n
        shapes[f"up{level}.deconv"] = (lower, lower, 2, 2)
        shapes |= {f"dec_conv{level}a": (w, lower + skip, 3, 3), f"dec_conv{level}b": (w, w, 3, 3)}
    return random_layers(shapes | {"nin_a": (w, w, 1, 1), "nin_b": (w, w, 1, 1), "nin_c": (channels, w, 1, 1)})


def blind2unblind(channels: int = 4) -> dict[str, Tensor]:
    """A state dict in Blind2Unblind's names."""
    n, w = WIDTH, 2 * WIDTH
    shapes: dict[str, tuple[int, ...]] = {"head.0.block.0": (n, channels, 3, 3), "head.1.block.0": (n, n, 3, 3)}
    shapes |= {f"down_path.{i}.block.0": (n, n, 3, 3) for i in range(5)}
    for i in range(5):
        incoming = (n if i == 0 else w) + (channels if i == 4 else n)
        shapes |= {f"up_path.{i}.conv_1.block.0": (w, incoming, 3, 3), f"up_path.{i}.conv_2.block.0": (w, w, 3, 3)}
    ends = {"last.0.block.0": (w, w, 1, 1), "last.1.block.0": (w, w, 1, 1), "last.2": (channels, w, 1, 1)}
    return random_layers(shapes | ends)


def run_neighbor2neighbor(state: dict[str, Tensor], noisy: Tensor) -> Tensor:
    """What Neighbor2Neighbor's network gives, written from its description."""

    def layer(name: str, x: Tensor, slope: float = 0.2) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.leaky_relu(
            functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2), slope
        )

    x, skips = layer("enc_conv0", noisy), [noisy]
    for level in range(1, 6):
        x = functional.max_pool2d(layer(f"enc_conv{level}", x), 2)
        skips.append(x)
    x = layer("enc_conv6", x)
    for level in (5, 4, 3, 2, 1):
        up = f"up{level}.deconv"
        x = functional.conv_transpose2d(x, state[f"{up}.weight"], state[f"{up}.bias"], stride=2)
        x = layer(f"dec_conv{level}b", layer(f"dec_conv{level}a", torch.cat([x, skips[level - 1]], 1)))
    return layer("nin_c", layer("nin_b", layer("nin_a", x)), slope=1)


def run_blind2unblind(state: dict[str, Tensor], noisy: Tensor) -> Tensor:
    """What Blind2Unblind's network gives, written from its description."""

    def layer(name: str, x: Tensor, slope: float = 0.1) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.leaky_relu(
            functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2), slope
        )

    x, skips = layer("head.1.block.0", layer("head.0.block.0", noisy)), [noisy]
    for level in range(5):
        x = functional.max_pool2d(x, 2)
        skips.append(x)
        x = layer(f"down_path.{level}.block.0", x)
    for level in range(5):
        x = torch.cat([x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), skips[4 - level]], 1)
        x = layer(f"up_path.{level}.conv_2.block.0", layer(f"up_path.{level}.conv_1.block.0", x))
    return layer("last.2", layer("last.1.block.0", layer("last.0.block.0", x)), slope=1)


CASES = [(neighbor2neighbor, run_neighbor2neighbor), (blind2unblind, run_blind2unblind)]


@pytest.mark.parametrize(("make", "run"), CASES)
def test_an_imported_model_gives_what_its_own_code_gives(
    tmp_path: Path, make: Callable[[], dict[str, Tensor]], run: Callable[[dict[str, Tensor], Tensor], Tensor]
) -> None:
    state = make()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "epoch.pth")
    import_checkpoint(tmp_path / "epoch.pth", tmp_path / "models", name="theirs", version="1", licence="MIT")
    engine = load_engine(Registry([tmp_path / "models"]).resolve("theirs"), "cpu")
    tile = np.random.default_rng(0).random((4, 64, 96), dtype=np.float32)
    expected = run(state, torch.from_numpy(tile)[None])[0].numpy()
    assert float(np.std(expected)) > 0.01
    np.testing.assert_allclose(engine.denoise_tile(tile, NOISE), expected, rtol=1e-5, atol=1e-5)
    assert engine.manifest.licence == "MIT"
    assert engine.manifest.input_normalisation == "none"


@pytest.mark.parametrize("make", [neighbor2neighbor, blind2unblind])
def test_imported_models_are_tiled_like_ours(tmp_path: Path, make: Callable[[], dict[str, Tensor]]) -> None:
    torch.save(make(), tmp_path / "epoch.pth")
    reference = import_checkpoint(tmp_path / "epoch.pth", tmp_path / "models", name="m", version="1", licence="MIT")
    engine = load_engine(reference, "cpu")
    packed = np.random.default_rng(0).random((4, 64, 420), dtype=np.float32)
    whole = run_tiled(packed, engine, NOISE, tile=768, halo=160)
    tiled = run_tiled(packed, engine, NOISE, tile=352, halo=160)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_a_layer_missing_or_too_many_is_named() -> None:
    state = blind2unblind()
    del state["last.2.bias"]
    with pytest.raises(ModelError, match=r"like Blind2Unblind's, but differs in last\.2\.bias"):
        translate(state)
    with pytest.raises(ModelError, match=r"like Neighbor2Neighbor's, but differs in extra"):
        translate(neighbor2neighbor() | {"extra": torch.zeros(1)})


def test_weights_for_colour_pictures_are_refused() -> None:
    with pytest.raises(ModelError, match="made for 3 channels; packed raws have 4"):
        translate(neighbor2neighbor(channels=3))


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ModelError, match="those of Neighbor2Neighbor and Blind2Unblind"):
        translate({"conv.weight": torch.zeros(1)})


@pytest.mark.parametrize("content", [{"state": Path("anything")}, ["a", "list"], {"epoch": 3}])
def test_a_checkpoint_with_more_than_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "epoch.pth")
    with pytest.raises(ModelError, match=r"epoch\.pth"):
        read_state(tmp_path / "epoch.pth")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "epoch.pth").write_bytes(content)
    with pytest.raises(ModelError, match="no checkpoint that can be read safely"):
        read_state(tmp_path / "epoch.pth")


def test_the_command_publishes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(blind2unblind(), tmp_path / "epoch.pth")
    arguments = ["--name", "b2u", "--version", "1", "--registry", str(tmp_path / "models"), "--licence", "MIT"]
    assert main([str(tmp_path / "epoch.pth"), *arguments]) == 0
    assert "published b2u@1" in capsys.readouterr().out
    assert main([str(tmp_path / "epoch.pth"), *arguments]) == 2
    assert "versions never change" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "models" / "b2u").iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--name": "Theirs 1"}, "name: 'Theirs 1' is not one of small letters"),
        ({"--version": "../1"}, "version: '../1' is not"),
        ({"--registry": "epoch.pth"}, "registry: epoch.pth cannot be written to"),
        ({"": "nowhere.pth"}, "there is no file nowhere.pth"),
    ],
)
def test_what_cannot_be_imported_is_2_and_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(blind2unblind(), "epoch.pth")
    words = {"": "epoch.pth", "--name": "b2u", "--version": "1", "--registry": "models", "--licence": "MIT", **changes}
    assert main([word for option in words.items() for word in option if word]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_imported_weights_can_be_read_by_a_service_of_another_user(tmp_path: Path) -> None:
    torch.save(blind2unblind(), tmp_path / "epoch.pth")
    reference = import_checkpoint(tmp_path / "epoch.pth", tmp_path / "models", name="m", version="1", licence="MIT")
    assert reference.weights.stat().st_mode & 0o777 == 0o644


def test_sizes_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    state = blind2unblind()
    state["last.0.block.0.weight"] = torch.zeros(3, 3, 1, 1)
    torch.save(state, tmp_path / "epoch.pth")
    with pytest.raises(ModelError, match="other sizes than Blind2Unblind's"):
        import_checkpoint(tmp_path / "epoch.pth", tmp_path / "models", name="m", version="1", licence="MIT")
    assert not (tmp_path / "models").exists()


def test_an_unknown_option_of_the_network_is_refused() -> None:
    from training.networks import build_network

    with pytest.raises(ConfigError, match="there is no upsampling 'bilinear'"):
        build_network("unet", in_channels=4, upsampling="bilinear")
