"""Whole videos through a codec: streams, batches, odd sizes, tiles, and memory that runs out."""

import pytest
import torch

from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.coding import (
    Coding,
    decode_stream,
    decode_video,
    encode_stream,
    encode_video,
    padded,
    seam_error,
)
from diorama.errors import OutOfMemoryError, UsageError

SEAM_DB, SEAM_LARGEST = 48.0, 0.06
"""What tiles of 64 pixels that share 32 may differ from whole pictures; larger tiles differ less."""


@pytest.fixture(scope="module")
def codec():
    return load_codec()


@pytest.fixture(scope="module")
def video():
    """Seven smooth frames of 96x136."""
    low = torch.rand(7, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(low, (96, 136), mode="bicubic").clamp(0, 1)


def test_shapes(codec, video):
    latents = encode_video(codec, video)
    assert latents.shape == (16, 7, 12, 17)
    assert decode_video(codec, latents).shape == video.shape


@pytest.mark.parametrize("cuts", [(1, 6), (3, 3, 1), (7,), (2, 0, 5)])
def test_a_stream_is_the_whole_bit_for_bit(codec, video, cuts):
    coding = Coding(batch=2)
    whole = encode_video(codec, video, coding)
    streamed = torch.cat(list(encode_stream(codec, video.split(cuts), coding)), dim=1)
    assert torch.equal(whole, streamed)
    frames = torch.cat(list(decode_stream(codec, whole.split(cuts, dim=1), coding)))
    assert torch.equal(frames, decode_video(codec, whole, coding))


def test_streams_are_lazy(codec, video):
    taken = []

    def chunks():
        for i in range(7):
            taken.append(i)
            yield video[i : i + 1]

    stream = encode_stream(codec, chunks(), Coding(batch=2))
    assert next(stream).shape[1] == 2
    assert taken == [0, 1]


def test_slices_equal_batches(codec, video):
    one, many = encode_video(codec, video, Coding(batch=1)), encode_video(codec, video, Coding(batch=7))
    assert torch.equal(one, many)
    assert torch.allclose(
        decode_video(codec, one, Coding(batch=1)), decode_video(codec, one, Coding(batch=7)), atol=1e-6
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 9), (13, 31), (90, 121)])
def test_odd_sizes_are_padded_and_cropped_back(codec, video, height, width):
    frames = video[:2, :, :height, :width]
    latents = encode_video(codec, frames)
    assert latents.shape[2:] == (-(-height // 8), -(-width // 8))
    assert decode_video(codec, latents, size=(height, width)).shape == frames.shape


def test_padding_repeats_the_edge(video):
    wide = padded(video[:, :, :13, :31], 8)
    assert wide.shape[2:] == (16, 32)
    assert torch.equal(wide[:, :, 13:, :31], video[:, :, 12:13, :31].expand(-1, -1, 3, -1))
    assert torch.equal(wide[..., :13, 31], video[..., :13, 30])


def test_tiles_encode_exactly(codec, video):
    whole = encode_video(codec, video)
    assert torch.allclose(encode_video(codec, video, Coding(tile=48, overlap=16)), whole, atol=1e-5)


def test_tiles_decode_within_the_stated_error(codec, video):
    latents = encode_video(codec, video)
    seams = seam_error(codec, latents, Coding(tile=64, overlap=32))
    assert seams.psnr > SEAM_DB
    assert 0 < seams.largest < SEAM_LARGEST
    assert seam_error(codec, latents, Coding(tile=256)).psnr == float("inf")


@pytest.mark.parametrize(
    "make",
    [lambda: Coding(batch=0), lambda: Coding(tile=-8), lambda: Coding(tile=64, overlap=40), lambda: Coding(overlap=-1)],
)
def test_refuses_options(make):
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("size", [(97, 136), (80, 136), (96, 120), (0, 136)])
def test_refuses_a_size_that_was_not_encoded(codec, video, size):
    latents = encode_video(codec, video[:1])
    with pytest.raises(UsageError, match="height and width"):
        decode_video(codec, latents, size=size)


def test_refuses_what_is_no_video(codec):
    with pytest.raises(UsageError, match="at least one"):
        list(encode_stream(codec, []))
    with pytest.raises(UsageError, match="h w"):
        list(encode_stream(codec, iter([torch.zeros(3, 16, 16)])))
    with pytest.raises(UsageError, match="16 x h x w"):
        list(decode_stream(codec, iter([torch.zeros(4, 2, 2, 2)])))


class Tight:
    """A codec in little memory: it fails on more than some numbers at a time."""

    channels, factor, device = 16, 8, torch.device("cpu")

    def __init__(self, codec, most):
        self.codec, self.most = codec, most

    def encode(self, frames):
        return self._within(frames.numel(), self.codec.encode, frames)

    def decode(self, latents):
        return self._within(latents.numel() * 12, self.codec.decode, latents)

    def _within(self, numbers, work, tensor):
        if numbers > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return work(tensor)


def test_out_of_memory_takes_fewer_frames(codec, video, caplog):
    tight = Tight(codec, 2 * video[0].numel())
    assert torch.allclose(encode_video(tight, video, Coding(batch=7)), encode_video(codec, video), atol=1e-5)
    assert "frames at a time" in caplog.text


def test_out_of_memory_takes_tiles(codec, caplog):
    frames = torch.rand(1, 3, 16, 800, generator=torch.Generator().manual_seed(0))
    tight = Tight(codec, 3 * 16 * 520)
    assert torch.allclose(encode_video(tight, frames), encode_video(codec, frames), atol=1e-5)
    assert "tiles of 512 pixels" in caplog.text


def test_out_of_memory_gives_up(codec, video):
    with pytest.raises(OutOfMemoryError, match="256 pixels"):
        encode_video(Tight(codec, 10), video)
