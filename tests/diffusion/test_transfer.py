"""Appearance transfer between latents: the person's colours where the body is, the scene untouched elsewhere."""

import torch
from torch.nn import functional

from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.transfer import CELLS, Transfer

SIDE = 8


def given(seed: int = 0, *, channels: int = 16) -> dict[str, torch.Tensor]:
    """Three frames with a body in the right half, in the poses of the two pictures."""
    g = torch.Generator().manual_seed(seed)
    wide = SIDE * CELLS
    codes = torch.rand(1, 4, 2, wide, wide, generator=g)
    codes[:, 3] = 0
    codes[:, 3, :, :, wide // 2 :] = 1
    return {
        "before": torch.randn(1, channels, 2, SIDE, SIDE, generator=g),
        "hidden": torch.zeros(1, 1, 2, SIDE, SIDE),
        "codes": codes,
        "reference": torch.randn(1, channels, 2, SIDE, SIDE, generator=g),
        "reference_codes": codes.clone(),
    }


def test_the_scene_stays_and_the_body_changes() -> None:
    told = given()
    made, cover = Transfer(16)(**told)
    torch.testing.assert_close(made[..., : SIDE // 2], told["before"][..., : SIDE // 2], rtol=0, atol=0)
    assert not cover[..., : SIDE // 2].any()
    assert bool((cover[..., SIDE // 2 :] == 1).all())
    assert (made[..., SIDE // 2 :] - told["before"][..., SIDE // 2 :]).abs().mean() > 0.1


def test_what_stands_before_the_body_hides_it() -> None:
    told = given()
    told["hidden"][..., SIDE - 2 :] = 1
    made, cover = Transfer(16)(**told)
    torch.testing.assert_close(made[..., SIDE - 2 :], told["before"][..., SIDE - 2 :], rtol=0, atol=0)
    assert not cover[..., SIDE - 2 :].any()


def test_a_smooth_picture_is_carried_over_through_the_codec() -> None:
    """A body seen in the picture as in the frame comes out as in the picture, up to what cells can say."""
    codec = load_codec()
    y, x = torch.meshgrid(torch.linspace(0, 1, 8 * SIDE), torch.linspace(0, 1, 8 * SIDE), indexing="ij")
    picture = torch.stack([0.2 + 0.6 * x, 0.3 + 0.5 * y, 0.8 - 0.5 * x * y])[None]
    scenes = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    frames = functional.interpolate(scenes, scale_factor=2 * SIDE, mode="bilinear")
    transfer = Transfer(16)
    transfer.fit(torch.cat([frames, picture]), codec.encode(torch.cat([frames, picture])))
    cells = SIDE * CELLS
    v, u = torch.meshgrid(torch.linspace(0, 1, cells), torch.linspace(0, 1, cells), indexing="ij")
    codes = torch.stack([u, v, torch.full_like(u, 0.5), (u > 0.5).float()])[None, :, None]
    scene, person = codec.encode(frames[:1]), codec.encode(picture)
    hidden = torch.zeros(1, 1, 1, SIDE, SIDE)
    made, _ = transfer(scene[:, :, None], hidden, codes, person[:, :, None], codes)
    shown = codec.decode(made[:, :, 0])
    half = 4 * SIDE
    assert (shown - picture)[..., half + 8 :].square().mean() < 0.04**2
    assert (shown - codec.decode(scene))[..., : half - 8].abs().max() < 0.02


def test_batches_equal_singles_and_the_reference_may_have_another_size() -> None:
    one, two = given(0), given(1)
    transfer = Transfer(16)
    both, _ = transfer(**{name: torch.cat([one[name], two[name]]) for name in one})
    torch.testing.assert_close(both[1:], transfer(**two)[0], rtol=1e-5, atol=1e-5)
    narrow = {
        **one,
        "reference": one["reference"][..., 2:],
        "reference_codes": one["reference_codes"][..., 2 * CELLS :],
    }
    assert transfer(**narrow)[0].isfinite().all()
