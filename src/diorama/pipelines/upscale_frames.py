"""The eyes of a film upscaled on their way to the encoder."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from diorama.diffusion.upscaler import Upscaler
from diorama.pipelines.eyes import Eyes
from diorama.pipelines.frames import Viewed
from diorama.pipelines.upscale import StereoFrame, upscale_stereo
from diorama.pipelines.upscale_ways import SeenFrom


def enlarged(
    viewed: Iterable[Viewed], upscaler: Upscaler, *, factor: int, seen_from: SeenFrom, every: int
) -> Iterator[Viewed]:
    """The same with larger eyes.

    Args:
        viewed: frames with two eyes, in order.
        upscaler: by what.
        factor: how many times the width and height, 2 or 4.
        seen_from: whose pixels the disparities belong to.
        every: frames after which the memory of earlier ones begins anew, so that a resumed run gives the same frames.
    """
    waiting: deque[Viewed] = deque()

    def frames() -> Iterator[StereoFrame]:
        for one in viewed:
            waiting.append(one)
            left, right = one.eyes.views
            first = one.seen.tracked.first or one.seen.place % every == 0
            yield StereoFrame(left, right, one.disparity, first)

    for left, right in upscale_stereo(frames(), upscaler, factor=factor, seen_from=seen_from):
        one = waiting.popleft()
        size = (left.shape[1], left.shape[0])
        known = [cv2.resize(k.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for k in one.eyes.known]
        yield replace(one, eyes=Eyes((left, right), tuple(known)))
