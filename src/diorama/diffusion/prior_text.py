"""Prompts to tokens to vectors: CLIP's text encoder and UMT5's, which leave the memory when they have read.

Tokenizers are built from the tables in a folder; nothing in it is executed.
"""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64

from diorama.core.extras import need
from diorama.diffusion import key_maps
from diorama.diffusion.clip_image import count_positions
from diorama.diffusion.fit import fit
from diorama.diffusion.prior_parts import AGAIN, built, config_of, tensors_of
from diorama.diffusion.release import read_config
from diorama.errors import ModelError

TABLE_LIMIT = 50_000_000
CLIP_LENGTH, UMT5_LENGTH = 77, 512
"""Tokens of a prompt that the pipelines read; what is longer is cut off."""
END = "<|endoftext|>"

Tokens = Int64[torch.Tensor, "k n"]
Vectors = Float[torch.Tensor, "k n d"]


@torch.no_grad()
def clip_vectors(folder: Path, texts: Sequence[str], *, device: torch.device, dtype: torch.dtype) -> Vectors:
    """Texts as pipelines of Stable Diffusion give them to cross-attention.

    Args:
        folder: of the pipeline, with tokenizer/ and text_encoder/.
        texts: prompts.
        device, dtype: of the encoder, and of the result.

    Raises:
        ModelError: transformers is not installed; parts missing, damaged or of another kind.
        OutOfMemoryError: the encoder does not fit.
    """
    kind = _quiet("CLIPTextModel")
    place = folder / "text_encoder"
    config = config_of(place, "CLIPTextModel")
    encoder = built(lambda: kind(kind.config_class.from_dict(config)), place, dtype)
    fit(encoder, key_maps.clip(tensors_of(place, device, dtype)), source=str(place))
    count_positions(encoder)
    ids = clip_tokens(folder / "tokenizer", texts)
    _check_ids(ids, encoder, place)
    encoder.eval().to(device)
    mask = None  # Stable Diffusion reads the padding too
    vectors: torch.Tensor = encoder(ids.to(device), attention_mask=mask).last_hidden_state
    return _finite(vectors, place)


def clip_tokens(folder: Path, texts: Sequence[str]) -> Tokens:
    """Numbers of the tokens of texts, padded to `CLIP_LENGTH`.

    Raises:
        ModelError: no tables, or damaged ones.
    """
    vocabulary = _vocabulary(folder / "vocab.json")
    merges = [tuple(line.split()) for line in _read(folder / "merges.txt").split("\n") if line[:8] != "#version"]
    pad = _named(folder, "pad_token") or END
    try:
        tokenizer = _quiet("CLIPTokenizer")(vocab=vocabulary, merges=[pair for pair in merges if pair], pad_token=pad)
        read = tokenizer(list(texts), padding="max_length", max_length=CLIP_LENGTH, truncation=True)
    except Exception as error:  # the tokenizers of Rust know no other type
        raise _damaged(folder, error) from error
    return torch.tensor(read["input_ids"])


def _vocabulary(file: Path) -> dict[str, int]:
    try:
        table = json.loads(_read(file))
    except (ValueError, RecursionError) as error:
        raise _damaged(file, error) from error
    numbers = list(table.values()) if isinstance(table, dict) else [None]
    if not all(type(number) is int and 0 <= number < 1 << 24 for number in numbers):
        raise ModelError("no table of tokens", file, AGAIN)
    return dict(table)


def _named(folder: Path, name: str) -> str:
    """A special token, as one of two files has it; the first one wins."""
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        value = read_config(folder / file).get(name)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            return value
    return ""


@torch.no_grad()
def umt5_vectors(folder: Path, texts: Sequence[str], *, device: torch.device, dtype: torch.dtype) -> Vectors:
    """Texts as Wan's pipeline gives them to cross-attention: zeros after the last token.

    Args, Raises: as `clip_vectors`.
    """
    kind = _quiet("UMT5EncoderModel")
    place = folder / "text_encoder"
    config = config_of(place, "UMT5EncoderModel")
    encoder: Any = built(lambda: kind(kind.config_class.from_dict(config)), place, dtype)
    tensors = {name: tensor.to(dtype) for name, tensor in tensors_of(place, device, dtype).items()}
    both = ("shared.weight", "encoder.embed_tokens.weight")
    table = next((tensors[name] for name in both if name in tensors), None)
    if table is not None:  # files hold it once or twice
        tensors |= dict.fromkeys(both, table)
    fit(encoder, tensors, source=str(place))
    encoder.encoder.embed_tokens = encoder.shared
    ids, mask = umt5_tokens(folder / "tokenizer", texts)
    _check_ids(ids, encoder, place)
    encoder.eval().to(device)
    vectors: torch.Tensor = encoder(ids.to(device), mask.to(device)).last_hidden_state
    return _finite(vectors * mask.to(vectors)[..., None], place)


def umt5_tokens(folder: Path, texts: Sequence[str]) -> tuple[Tokens, Tokens]:
    """Numbers of the tokens of texts, padded to `UMT5_LENGTH`, and 1 where they are tokens of the text.

    Raises:
        ModelError: no tokenizer.json, or a damaged one.
    """
    tables = _read(folder / "tokenizer.json")
    clean = [" ".join(html.unescape(html.unescape(text)).split()) for text in texts]
    try:
        tokenizer = need("tokenizers").Tokenizer.from_str(tables)
        tokenizer.enable_truncation(UMT5_LENGTH)
        pad = tokenizer.token_to_id("<pad>") or 0
        tokenizer.enable_padding(length=UMT5_LENGTH, pad_id=pad, pad_token="<pad>")
        read = tokenizer.encode_batch(clean)
    except Exception as error:  # the tokenizers of Rust know no other type
        raise _damaged(folder, error) from error
    return torch.tensor([each.ids for each in read]), torch.tensor([each.attention_mask for each in read])


def _quiet(name: str) -> Any:
    """A class of transformers, which then says nothing about configurations on the terminal."""
    library = need("transformers")
    library.utils.logging.set_verbosity_error()
    return getattr(library, name)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(TABLE_LIMIT + 1)
        if len(data) > TABLE_LIMIT:
            raise ModelError(f"a table of more than {TABLE_LIMIT} bytes", file, AGAIN)
        return data.decode("utf-8")
    except OSError as error:
        raise ModelError(f"no {file.name} of the tokenizer", file.parent, AGAIN) from error
    except UnicodeDecodeError as error:
        raise _damaged(file, error) from error


def _damaged(where: Path, error: BaseException) -> ModelError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return ModelError(f"the tokenizer is damaged ({reason})", where, AGAIN)


def _check_ids(ids: Tokens, encoder: torch.nn.Module, where: Path) -> None:
    known = int(encoder.get_input_embeddings().num_embeddings)  # type: ignore[operator]
    if int(ids.max()) >= known:
        raise ModelError(f"token {int(ids.max())} for an encoder that knows {known}", where, AGAIN)


def _finite(vectors: Vectors, where: Path) -> Vectors:
    if not bool(torch.isfinite(vectors).all()):
        raise ModelError("the text encoder gave numbers that are not finite", where, "run in float32: --device cpu")
    return vectors
