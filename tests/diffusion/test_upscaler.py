"""The embedded upscaler: interpolation and more, neighbours that count where they are believed, checked files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from diorama.diffusion.upscaler import EMBEDDED, TOLERANCE, Neighbour, UpscaleNet, Upscaler, agreement, open_upscaler
from diorama.errors import ModelError
from diorama.train.export import write_weights


@pytest.fixture(scope="module")
def embedded() -> UpscaleNet:
    return open_upscaler()


def picture(height: int = 46, width: int = 62) -> torch.Tensor:
    """Circles and stripes, averaged from four times the size: 3 h w."""
    y, x = torch.meshgrid(torch.arange(4.0 * height), torch.arange(4.0 * width), indexing="ij")
    waves = [torch.sin(x / 19 + y / 37), torch.sin((x - 90).hypot(y - 70) / 16), torch.sin(y / 21 - x / 43)]
    sharp = torch.stack([(wave > 0.2).float() * 0.7 + 0.15 for wave in waves])
    return functional.avg_pool2d(sharp, 4)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (17, 31), (24, 16)])
def test_untrained_it_is_bicubic_interpolation(size: tuple[int, int]) -> None:
    network, frame = UpscaleNet().eval(), torch.rand(2, 3, *size)
    wanted = functional.interpolate(frame, scale_factor=2.0, mode="bicubic", align_corners=False).clamp(0, 1)
    assert torch.allclose(network(frame), wanted, atol=1e-5)


def test_the_embedded_one_is_small_and_better_than_interpolation(embedded: UpscaleNet) -> None:
    assert isinstance(embedded, Upscaler)
    assert sum(parameter.numel() for parameter in embedded.parameters()) <= 500_000
    assert EMBEDDED.stat().st_size < 1_100_000
    high = picture()[None]
    low = functional.avg_pool2d(high, 2)
    plain = functional.interpolate(low, scale_factor=2.0, mode="bicubic", align_corners=False).clamp(0, 1)
    assert (embedded(low) - high).square().mean() < 0.9 * (plain - high).square().mean()


def test_a_true_neighbour_helps_and_one_that_is_not_believed_is_not_heard(embedded: UpscaleNet) -> None:
    high = picture()[None]
    low = functional.avg_pool2d(high, 2)
    alone = embedded(low)
    true, unknown = (
        Neighbour(high, torch.ones(1, 1, 23, 31)),
        Neighbour(torch.rand(1, 3, 46, 62), torch.zeros(1, 1, 23, 31)),
    )
    error = (alone - high).square().mean()
    for helped in (embedded(low, true), embedded(low, None, true), embedded(low, true, true)):
        assert (helped - high).square().mean() < 0.98 * error
    assert torch.equal(embedded(low, unknown, unknown), alone)


def test_a_batch_is_its_pictures_and_a_flat_picture_stays_flat(embedded: UpscaleNet) -> None:
    frames = torch.stack([picture()[:, :20, :24], torch.full((3, 20, 24), 0.4)])
    both = embedded(frames)
    assert torch.allclose(both, torch.cat([embedded(frame[None]) for frame in frames]), atol=1e-5)
    assert (both[1] - 0.4).abs()[:, 8:-8, 8:-8].max() < 0.01
    assert both.min() >= 0
    assert both.max() <= 1


def test_agreement_falls_with_the_difference_and_bears_more_where_there_is_texture() -> None:
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert (agreement(flat, flat) == 1).all()
    assert (agreement(flat, flat + 0.99 * TOLERANCE) == 1).all()
    assert (agreement(flat, flat + 2.01 * TOLERANCE) == 0).all()
    rough = flat + 0.2 * (torch.arange(8) % 2)
    assert (agreement(rough, rough + 2.01 * TOLERANCE) > 0).all()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_upscaler(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="no upscaler of ours"):
        open_upscaler(EMBEDDED.with_name("codec-s.safetensors"))
    path = tmp_path / "upscale-s.safetensors"
    write_weights(UpscaleNet(8, 1), path)
    assert open_upscaler(path)(torch.rand(1, 3, 4, 6)).shape == (1, 3, 8, 12)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError):
        open_upscaler(path)
    broken = UpscaleNet(8, 1)
    broken.enter = torch.nn.Conv2d(12, 8, 3)
    write_weights(broken, path)
    with pytest.raises(ModelError, match=r"enter\.weight"):
        open_upscaler(path)
    np.testing.assert_equal(UpscaleNet().factor, 2)
