"""Which samples are held out: by a hash of their name, so that it never changes as a set grows."""

import hashlib
from typing import Literal

Part = Literal["train", "held-out", "all"]
HELD_OUT = 0.05
"""Share of a set."""


def held_out(name: str, share: float = HELD_OUT) -> bool:
    """Whether the sample of this name is kept from training.

    Each clip of the theatre has actors, clothes, motions and a stage of its own, drawn from its seed: those of a clip
    that is held out are not seen in training either.
    """
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return number < share * 2**64


def theatre_seed(seed: int, part: Part) -> int:
    """The seed of clips that are made on the fly: those of a part are never met in the other."""
    digest = hashlib.blake2b(f"{part} {seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
