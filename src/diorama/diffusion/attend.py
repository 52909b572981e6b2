"""Scaled dot-product attention that also tells the log-sum-exp of its logits, so that parts can be merged exactly.

``softmax(q [k1; k2]^T) [v1; v2]`` is the average of the two partial results with weights ``sigmoid(lse2 - lse1)``: keys
that many queries share are never copied (prefix-shared attention, scd.md section 2).
"""

import math

import torch
from jaxtyping import Float
from torch.backends import cuda
from torch.nn import functional

Heads = Float[torch.Tensor, "b heads n d"]
Sums = Float[torch.Tensor, "b heads n"]
Bias = Float[torch.Tensor, "b 1 1 m"]
HALF = (torch.float16, torch.bfloat16)


def sdpa(
    q: Heads, k: Float[torch.Tensor, "b heads m d"], v: Float[torch.Tensor, "b heads m d"], bias: Bias | None = None
) -> Heads:
    """Plain attention; `bias` is added to the logits of each key."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def attend(
    q: Heads, k: Float[torch.Tensor, "b heads m d"], v: Float[torch.Tensor, "b heads m d"], bias: Bias | None = None
) -> tuple[Heads, Sums]:
    """Attention and the log-sum-exp of its logits (float32 for half types); those of fused kernels have no gradient."""
    fused = q.dtype in (torch.float32, *HALF)
    if q.device.type == "cpu" and fused:
        mask = None if bias is None else _wide(bias, q)
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask)
    if q.device.type == "cuda" and fused:
        mask = None if bias is None else _wide(bias, q)
        given = cuda.SDPAParams(q, k, v, mask, 0.0, False, False)
        if bias is None and q.shape[-1] % 8 == 0 and cuda.can_use_flash_attention(given):
            out, sums, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)
            return out, sums
        if cuda.can_use_efficient_attention(given):
            return _efficient(q, k, v, mask)
    if q.device.type == "meta" and fused:  # where costs are counted
        return _efficient(q, k, v, None if bias is None else _wide(bias, q))
    return _plain(q, k, v, bias)


def _efficient(q: Heads, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> tuple[Heads, Sums]:
    out, sums, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, mask, True)
    return out, sums[..., : q.shape[2]]


def _plain(q: Heads, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None) -> tuple[Heads, Sums]:
    """The same in plain operations, with gradients everywhere."""
    logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    logits = (logits if bias is None else logits + bias).to(torch.promote_types(q.dtype, torch.float32))
    return logits.softmax(dim=-1).to(v.dtype) @ v, logits.logsumexp(dim=-1)


def _wide(bias: Bias, q: Heads) -> Float[torch.Tensor, "b heads n m"]:
    """A view for all heads and queries, whose rows begin at addresses that the kernels of CUDA accept."""
    count = bias.shape[-1]
    roomy = functional.pad(bias, (0, -count % 16))[..., :count] if q.device.type == "cuda" else bias
    return roomy.expand(-1, q.shape[1], q.shape[2], -1)


def merged(one: tuple[Heads, Sums], two: tuple[Heads, Sums]) -> Heads:
    """The attention over both sets of keys from the attention over each."""
    share = torch.sigmoid(two[1] - one[1]).to(one[0].dtype)[..., None]
    return torch.lerp(one[0], two[0], share)
