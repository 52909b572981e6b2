"""Which weights there are: name, source, files, licence, size. Data alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

UNVERIFIED = "unverified (no hash is known)"


@dataclass(frozen=True)
class Weights:
    """One set of weights that can be asked for by name.

    Attributes:
        name: what the user types, e.g. ``--depth depth-anything-v2-small``.
        question: which perception question it answers (depth; detector, segmenter, pose of people), or ``generate``.
        source: repository on the hub, ``organisation/name``.
        files: what must be present for the model to load.
        licence: SPDX name, or the hub's name where SPDX has none.
        commercial: whether the licence allows commercial use.
        megabytes: size of `files` together, 10^6 bytes.
        sha256: hash of a file by its name; empty where unknown, and a known one must match.
        about: what it is for, in a few words.
        note: conditions that the licence's name does not tell.
        also: names of other weights that it does not run without.
        packaged: folder within the package, of weights that ship with it; empty for all others.
    """

    name: str
    question: str
    source: str
    files: tuple[str, ...]
    licence: str
    commercial: bool
    megabytes: int
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)
    about: str = ""
    note: str = ""
    also: tuple[str, ...] = ()
    packaged: str = ""

    @property
    def terms(self) -> str:
        """The licence in one line for the user, and whether the files can be compared with a known hash."""
        use = "commercial use allowed" if self.commercial else "no commercial use"
        if self.packaged:
            return f"weights that come with the package: {self.licence}, {use}"
        checked = "" if self.sha256 else f", {UNVERIFIED}"
        return f"weights {self.source}: {self.licence}, {use}{f' ({self.note})' if self.note else ''}{checked}"

    @property
    def permissive(self) -> bool:
        """Whether the licence asks for nothing that a user must agree to first."""
        return self.licence in _PERMISSIVE


_PERMISSIVE = ("Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0")


FILES = ("config.json", "model.safetensors")


def _depth(name: str, source: str, licence: str, megabytes: int, *, commercial: bool) -> Weights:
    return Weights(name, "depth", source, FILES, licence, commercial, megabytes, about="depth of a picture")


_V2 = "depth-anything/Depth-Anything-V2-{}-hf"

WEIGHTS = (
    _depth("depth-anything-v2-small", _V2.format("Small"), "Apache-2.0", 99, commercial=True),
    _depth("depth-anything-v2-base", _V2.format("Base"), "CC-BY-NC-4.0", 390, commercial=False),
    _depth("depth-anything-v2-large", _V2.format("Large"), "CC-BY-NC-4.0", 1341, commercial=False),
    _depth("depth-anything-small", "LiheYoung/depth-anything-small-hf", "Apache-2.0", 99, commercial=True),
    _depth("depth-pro", "apple/DepthPro-hf", "apple-amlr", 1904, commercial=False),
    _depth("zoedepth", "Intel/zoedepth-nyu-kitti", "MIT", 1379, commercial=True),
    _depth("dpt", "Intel/dpt-large", "Apache-2.0", 1368, commercial=True),
)


def _people(name: str, question: str, source: str, megabytes: int, about: str) -> Weights:
    return Weights(name, question, source, FILES, "Apache-2.0", True, megabytes, about=about)


_DETECTS, _OUTLINES, _STANDS = (
    "people in a picture",
    "outlines of people and objects in a clip",
    "17 landmarks of a person",
)

PEOPLE = (
    _people("rtdetr-r18", "detector", "PekingU/rtdetr_r18vd", 81, _DETECTS),
    _people("rtdetr-r50", "detector", "PekingU/rtdetr_r50vd", 172, _DETECTS),
    _people("rtdetr-v2-r50", "detector", "PekingU/rtdetr_v2_r50vd", 172, _DETECTS),
    _people("sam2-tiny", "segmenter", "facebook/sam2.1-hiera-tiny", 156, _OUTLINES),
    _people("sam2-small", "segmenter", "facebook/sam2.1-hiera-small", 184, _OUTLINES),
    _people("vitpose-base-simple", "pose", "usyd-community/vitpose-base-simple", 344, _STANDS),
    _people("vitpose-base", "pose", "usyd-community/vitpose-base", 360, _STANDS),
)
"""What ``--detector``, ``--segmenter`` and ``--pose`` can name, where a command has them."""

_OPENRAIL = "commercial use within the licence's list of forbidden uses"
_STABILITY = "commercial use below 1 million dollars of revenue a year"
_ANIMATE = ("denoising_unet.pth", "motion_module.pth", "reference_unet.pth", "pose_guider.pth")
_SAFE = "diffusion_pytorch_model.safetensors"
_TOKENS = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
_PARTS = (
    *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
    *(f"tokenizer/{name}" for name in _TOKENS),
    "scheduler/scheduler_config.json",
)
_BIN = "diffusion_pytorch_model.bin"
_ZEROSCOPE = (*_PARTS, f"unet/{_BIN}", f"vae/{_BIN}", "text_encoder/pytorch_model.bin")
_WAN = (
    *("scheduler/scheduler_config.json", "vae/config.json", f"vae/{_SAFE}", "tokenizer/tokenizer.json"),
    *("transformer/config.json", f"transformer/{_SAFE}.index.json"),
    *(f"transformer/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)),
    *("text_encoder/config.json", "text_encoder/model.safetensors.index.json"),
    *(f"text_encoder/model-0000{i}-of-00005.safetensors" for i in range(1, 6)),
)

# Hashes are those that the hub shows for the files; a file without one is unverified.
_UNET = Weights(
    "sd15",
    "generate",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    ("unet/config.json", f"unet/{_SAFE}"),
    "creativeml-openrail-m",
    commercial=True,
    megabytes=3438,
    sha256={f"unet/{_SAFE}": "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1"},
    about="image UNet to train from",
    note=_OPENRAIL,
    also=("sd-vae-ft-mse",),
)
GENERATORS = (
    Weights(
        "mimo",
        "generate",
        "menyifang/MIMO",
        _ANIMATE,
        "unstated (the code is Apache-2.0)",
        commercial=False,
        megabytes=8700,  # if stored as float32, by the count of parameters
        about="animate a character (MIMO)",
        note="ask the authors; made from Stable Diffusion 1.5, whose licence binds too",
        also=("sd-vae-ft-mse", "sd-image-variations"),
    ),
    Weights(
        "moore-animateanyone",
        "generate",
        "patrolli/AnimateAnyone",
        _ANIMATE,
        "Apache-2.0",
        commercial=True,
        megabytes=8699,
        sha256={
            "denoising_unet.pth": "b9e5a2c34fac369e8a922972ca2210916c6af175a0dad907deccf6235816ad52",
            "motion_module.pth": "0d11e01a281b39880da2efeea892215c1313e5713fca3d100a7fbb72ee312ef9",
        },
        about="animate a character (Moore-AnimateAnyone)",
        also=("sd-vae-ft-mse", "sd-image-variations"),
    ),
    Weights(
        "animatediff-motion-v2",
        "generate",
        "guoyww/animatediff",
        ("mm_sd_v15_v2.ckpt",),
        "Apache-2.0",
        commercial=True,
        megabytes=1818,
        sha256={"mm_sd_v15_v2.ckpt": "69ed0f5fef82b110aca51bcab73b21104242bc65d6ab4b8b2a2a94d31cad1bf0"},
        about="motion modules to train from (with a middle block)",
        also=("sd15",),
    ),
    Weights(
        "animatediff-motion-v3",
        "generate",
        "guoyww/animatediff",
        ("v3_sd15_mm.ckpt",),
        "Apache-2.0",
        commercial=True,
        megabytes=1673,
        sha256={"v3_sd15_mm.ckpt": "2412711886f61091846f53204aabc38aa6e09356d62a9808abe4daa802168343"},
        about="motion modules to train from",
        also=("sd15",),
    ),
    _UNET,
    replace(
        _UNET,
        name="sd15-pipeline",
        files=(*_PARTS, f"unet/{_SAFE}", f"vae/{_SAFE}", "text_encoder/model.safetensors"),
        megabytes=4265,
        about="film from a prompt or a picture, with animatediff-motion-v3",
        also=("animatediff-motion-v3",),
    ),
    Weights(
        "sd-image-variations",
        "generate",
        "lambdalabs/sd-image-variations-diffusers",
        ("image_encoder/config.json", "image_encoder/pytorch_model.bin"),
        "creativeml-openrail-m",
        commercial=True,
        megabytes=1216,
        sha256={"image_encoder/pytorch_model.bin": "89d2aa29b5fdf64f3ad4f45fb4227ea98bc45156bbae673b85be1af7783dbabb"},
        about="CLIP tokens of the reference picture",
        note=_OPENRAIL,
    ),
    Weights(
        "sd-vae-ft-mse",
        "generate",
        "stabilityai/sd-vae-ft-mse",
        ("config.json", _SAFE),
        "MIT",
        commercial=True,
        megabytes=335,
        sha256={_SAFE: "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815"},
        about="pictures to latents and back",
    ),
    Weights(
        "zeroscope-v2-576w",
        "generate",
        "cerspense/zeroscope_v2_576w",
        _ZEROSCOPE,
        "CC-BY-NC-4.0",
        commercial=False,
        megabytes=3673,
        sha256={f"unet/{_BIN}": "42b51ea486109b7479366e01aae7e267a81bb750c13eb5c6b765a3d5bc7987c9"},
        about="film from a prompt or a picture; fill what other views uncover (S2VG)",
        also=("svd-vae",),
    ),
    Weights(
        "wan-2.1-t2v-1.3b",
        "generate",
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        _WAN,
        "Apache-2.0",
        commercial=True,
        megabytes=28924,
        about="film from a prompt or a picture (Wan 2.1)",
    ),
    Weights(
        "svd-vae",
        "generate",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        ("vae/config.json", f"vae/{_SAFE}"),
        "stable-video-diffusion-community",
        commercial=True,
        megabytes=391,
        sha256={f"vae/{_SAFE}": "5d92aa595a53d9da9faf594f09910ee869d5d567c8bb0362d5095673c69997d6"},
        about="film to latents and back, with less flicker",
        note=_STABILITY,
    ),
    Weights(
        "sp4d",
        "generate",
        "stabilityai/sp4d",
        ("sp4d.safetensors",),
        "stabilityai-ai-community",
        commercial=True,
        megabytes=20000,  # by the count of parameters, in float32
        about="views and parts of an object over time (SP4D)",
        note=f"{_STABILITY}; agree on its page first",
    ),
)


def _embedded(name: str, question: str, folder: str, about: str, sha256: Mapping[str, str]) -> Weights:
    size = {"codec-s": 1, "depth-s": 2, "backbone-s": 16, "parts-s": 10, "scene-s": 4, "upscale-s": 1}[name]
    return Weights(
        name, question, "diorama", tuple(sha256), "Apache-2.0", True, size, sha256, about=about, packaged=folder
    )


EMBEDDED: tuple[Weights, ...] = (
    _embedded(
        "codec-s",
        "generate",
        "diffusion/data",
        "embedded: frames to latents and back",
        {"codec-s.safetensors": "76c794c9e5aa3245b1b459ebb1ee66d80198464dfa2e4eac4c7bc346ca38dc02"},
    ),
    _embedded(
        "backbone-s",
        "generate",
        "diffusion/data",
        "embedded: people animated, video inpainted",
        {"backbone-s.safetensors": "23655e598ebad0a8f56f6898e7793ee10e4867f191c481b8552d5c3878d4b357"},
    ),
    _embedded(
        "parts-s",
        "generate",
        "diffusion/data",
        "embedded: an object from all around, in colours and parts",
        {"parts-s.safetensors": "a3814ee1ebf0ceb62b9182c2faa8a053ad62788176def916542a99626d5ba57e"},
    ),
    _embedded(
        "scene-s",
        "generate",
        "diffusion/data",
        "embedded: what comes into sight where the eye moves",
        {"scene-s.safetensors": "ab7d5c8ed7ddd3e5682f49e7388242a6375d1aa11884480352e1b47b986ea503"},
    ),
    _embedded(
        "upscale-s",
        "generate",
        "diffusion/data",
        "embedded: frames at twice their size, in stereo",
        {"upscale-s.safetensors": "a412eba9f428bb2eb37c26962076f9a8217fe42c3cbb4ba4b5a0c70919d0462a"},
    ),
    _embedded(
        "depth-s",
        "depth",
        "perception/data",
        "embedded: how near each pixel is",
        {"depth-s.safetensors": "8b019a41246c740c45ebea4c946c7a76f5b75c6df859dc6ee35989f2c96eed90"},
    ),
)
"""Weights that ship inside the package; `Weights.packaged` says where."""

ALL = WEIGHTS + PEOPLE + GENERATORS + EMBEDDED
"""Everything that `diorama models` knows; `WEIGHTS` are those that answer depth."""
