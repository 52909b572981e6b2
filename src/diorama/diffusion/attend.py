"""Scaled dot-product attention that also tells the log-sum-exp of its logits, so that parts can be merged exactly.

``softmax(q [k1; k2]^T) [v1; v2]`` is the average of the two partial results with weights ``sigmoid(lse2 - lse1)``: keys
that many queries share are never copied (prefix-shared attention, scd.md section 2).
"""

import math

import torch
from jaxtyping import Float
from torch.nn import functional

Heads = Float[torch.Tensor, "b heads n d"]
Sums = Float[torch.Tensor, "b heads n"]
Bias = Float[torch.Tensor, "b 1 1 m"]


def sdpa(
    q: Heads, k: Float[torch.Tensor, "b heads m d"], v: Float[torch.Tensor, "b heads m d"], bias: Bias | None = None
) -> Heads:
    """Plain attention; `bias` is added to the logits of each key."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def attend(
    q: Heads, k: Float[torch.Tensor, "b heads m d"], v: Float[torch.Tensor, "b heads m d"], bias: Bias | None = None
) -> tuple[Heads, Sums]:
    """Attention and the log-sum-exp of its logits. The sums carry no gradient in the fused kernels."""
    fused = q.dtype in (torch.float32, torch.bfloat16, torch.float16)
    if q.device.type == "cpu" and fused:
        mask = None if bias is None else bias.expand(-1, q.shape[1], q.shape[2], -1)
        out, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask)
        return out, sums.to(q.dtype) if sums.dtype != q.dtype else sums
    if q.device.type in ("cuda", "meta") and fused:
        mask = None if bias is None else bias.expand(-1, q.shape[1], q.shape[2], -1)
        out, sums, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, mask, True)
        return out, sums[..., : q.shape[2]]
    logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    logits = logits if bias is None else logits + bias
    return logits.softmax(dim=-1) @ v, logits.logsumexp(dim=-1)


def merged(one: tuple[Heads, Sums], two: tuple[Heads, Sums]) -> Heads:
    """The attention over both sets of keys from the attention over each."""
    share = torch.sigmoid(two[1].float() - one[1].float()).to(one[0].dtype)[..., None]
    return torch.lerp(one[0], two[0], share)
