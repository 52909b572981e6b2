"""The rows of MIMO's table (mimo.md 2.1): one network, and what it is told of a clip.

All variants have the same layers, start from the same weights, and see the same samples with the same noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Shaped

from diorama.bench.miniature.takes import Arrays
from diorama.diffusion.backbone import Backbone, BackboneConfig, Given

Wide = Mapping[str, Float[torch.Tensor, "b ..."]]


@dataclass(frozen=True)
class Variant:
    """A row.

    Attributes:
        name: of its folder.
        title: in the table.
        motion: how the target pose is drawn: vertex codes; a skeleton; normals and depth.
        reference: the canonical pictures; the person cut out of the first frame, in its own pose; that whole frame.
        layers: scene and occluders; one picture with a box in place of the person; nothing.
        preview: the name of the textured body between the layers, where there is one. With it goes the transfer of
            the reference's look onto the body of each frame: both need codes.
    """

    name: str
    title: str
    motion: Literal["codes", "skeleton", "maps"] = "codes"
    reference: Literal["canonical", "first", "frame"] = "canonical"
    layers: Literal["layers", "boxed", "none"] = "layers"
    preview: Literal["preview", "boxed_preview", "first_preview", ""] = ""

    @property
    def needs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What it takes of a take, beside image and person: of each frame; and still."""
        planes = {"layers": ("scene", "occluder", "occluder_alpha"), "boxed": ("boxed",), "none": ()}[self.layers]
        shown = (self.preview, "preview_alpha") if self.preview else ()
        still = {
            "canonical": ("canonical", f"canonical_{self.motion}"),
            "first": ("first", "first_codes"),
            "frame": (),
        }[self.reference]
        return (self.motion, *planes, *shown), still


ROWS = (
    Variant("full", "full", preview="preview"),
    Variant("no-decomposition", "without spatial decomposition", layers="boxed", preview="boxed_preview"),
    Variant("skeleton", "2D skeleton", motion="skeleton"),
    Variant("maps", "3D maps (normal + depth)", motion="maps"),
    Variant("no-canonical", "without canonical appearance", reference="first", preview="first_preview"),
    Variant("animate-anyone", "Animate-Anyone-like", motion="skeleton", reference="frame", layers="none"),
    Variant("champ", "Champ-like", motion="maps", reference="frame", layers="none"),
)
"""Those that are trained, in the order of the issue."""


class Miniature(Backbone):
    """The embedded generator's network, with or without the transfer.

    Args:
        transfers: whether the reference's look is put onto the body of each frame.
        config: sizes.
    """

    def __init__(self, transfers: bool, config: BackboneConfig = BackboneConfig()) -> None:
        super().__init__(config)
        self.transfers = transfers

    def _worn(
        self, given: Given, scene: torch.Tensor, occluder: torch.Tensor, alpha: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        return super()._worn(given, scene, occluder, alpha) if self.transfers else (None, None)


def cut(take: Arrays, variant: Variant, frames: slice) -> dict[str, Float[torch.Tensor, "c ..."]]:
    """What a variant sees of a take: some frames, and what does not move."""
    moving, still = variant.needs
    found = {name: _plain(take[name][:, frames]) for name in ("image", "person", *moving)}
    found |= {name: _plain(take[name]) for name in still}
    if variant.reference == "frame":
        found["frame"] = _plain(take["image"][:, :1])
    return found


def given_of(variant: Variant, batch: Wide) -> Given:
    """The conditions in a batch of `cut`s."""
    ones = torch.ones_like(batch["person"])
    parts: dict[str, torch.Tensor] = {"codes": batch[variant.motion]}
    if variant.layers == "layers":
        parts |= {"scene": batch["scene"], "scene_known": ones}
        parts |= {"occluder": batch["occluder"], "occluder_alpha": batch["occluder_alpha"]}
    elif variant.layers == "boxed":
        parts |= {"scene": batch["boxed"], "scene_known": ones}
    if variant.preview:
        parts |= {"preview": batch[variant.preview], "preview_alpha": batch["preview_alpha"]}
    return Given(**parts, **_reference(variant, batch))


def _reference(variant: Variant, batch: Wide) -> dict[str, torch.Tensor]:
    if variant.reference == "frame":  # those systems do not tell the reference's own pose
        shape = (*batch["frame"].shape[:3], *batch[variant.motion].shape[3:])
        nothing = batch["frame"].new_zeros(shape[0], 4, *shape[2:])
        return {"reference": batch["frame"], "reference_codes": nothing}
    codes = "first_codes" if variant.reference == "first" else f"canonical_{variant.motion}"
    return {"reference": batch[variant.reference], "reference_codes": batch[codes]}


def _plain(value: Shaped[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Bytes as shares of 255, half precision as single."""
    return value.float() / 255 if value.dtype == torch.uint8 else value.float()
