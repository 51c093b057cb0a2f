"""Attention over sequences that share prefixes: one packed sequence in which each shared prefix occurs once.

The completions of a group have the same prompt. Instead of one row per completion, which computes the prompt G times,
the prompt is packed once, with the completions behind it. Each completion attends to the prompt and to itself, and its
positions continue those of the prompt. Values and gradients are those of separate rows, up to rounding.

In general the packed tokens form a tree. A node is a run of adjacent tokens, and its descendants follow it directly
(depth first). So a token's subtree is an interval, and one integer per token describes the whole attention mask::

    query i attends to key j  <=>  j <= i < subtree_ends_N[j]

On the CPU, attention is computed by torch's flash kernel in parts: each node with itself, and for each node with
descendants, all of these at once with the node's keys. The parts of a query are merged by their log-sum-exp. The
backward kernel of a part gets the merged output and log-sum-exp, which makes its gradients exact. Keys and values are
never copied per completion, and there is no mask. On CUDA the mask above is that of FlexAttention.

`AttentionInterface.register` extends transformers' ``sdpa``, which calls the function below with the arguments of the
model's forward pass. Without ``prefix_tree`` among them, it is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

#: A padded part computes at most this many times the tokens of its longest and shortest node.
_PADDING = 1.25

_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_FLASH_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class Node(NamedTuple):
    """Tokens ``start`` to ``end`` of the packed sequence, whose descendants are those up to ``subtree_end``."""

    start: int
    end: int
    subtree_end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class _Part:
    """Nodes of similar length as a batch of L tokens each, so that attention within all of them is one kernel call.

    A place after a node's end repeats its last token. It is behind all tokens of the node, so that under a causal mask
    none of them attends to it.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.shape = (len(nodes), nodes[0].length)
        starts_n1 = torch.tensor([[node.start] for node in nodes])
        lengths_n1 = torch.tensor([[node.length] for node in nodes])
        offsets_L = torch.arange(nodes[0].length)
        self.index = (starts_n1 + torch.minimum(offsets_L, lengths_n1 - 1)).flatten()
        real = (offsets_L < lengths_n1).flatten()
        self.padded = not bool(real.all())
        self.real, self.tokens = real.nonzero()[:, 0], self.index[real]
        first, last = nodes[0].start, nodes[-1].end
        self.span = slice(first, last) if last - first == len(self.tokens) == len(self.index) else None

    def rows(self, packed: Tensor) -> Tensor:
        """Take the nodes of a packed tensor [N, heads, ...] as [n, heads, L, ...]."""
        taken = packed[self.index if self.span is None else self.span]
        return taken.view(*self.shape, *packed.shape[1:]).transpose(1, 2)

    def gradient_rows(self, packed: Tensor) -> Tensor:
        """Take rows as above, with zeros in place of repeated tokens."""
        if not self.padded:
            return self.rows(packed)
        taken = packed.new_zeros(len(self.index), *packed.shape[1:])
        taken[self.real] = packed[self.tokens]
        return taken.view(*self.shape, *packed.shape[1:]).transpose(1, 2)

    def put(self, rows: Tensor, packed: Tensor) -> None:
        """Write rows into their places of a packed tensor."""
        flat = rows.transpose(1, 2).flatten(0, 1)
        if self.span is not None:
            packed[self.span] = flat
        else:
            packed[self.tokens] = flat[self.real] if self.padded else flat


class PrefixTree:
    """Structure of a packed sequence of N tokens. ``nodes`` are not empty, and stand in the order of their tokens."""

    def __init__(self, nodes: Sequence[Node], device: torch.device | None = None) -> None:
        self.nodes = tuple(nodes)
        self.device = device or torch.device("cpu")

    def to(self, device: torch.device) -> PrefixTree:
        """Return the tree with its tensors on another device."""
        return PrefixTree(self.nodes, device)

    @property
    def tokens(self) -> int:
        """Number of tokens N."""
        return self.nodes[-1].end

    @cached_property
    def subtree_ends_N(self) -> Tensor:
        """End of the subtree of each token's node."""
        lengths = torch.tensor([node.length for node in self.nodes])
        return torch.tensor([node.subtree_end for node in self.nodes]).repeat_interleave(lengths).to(self.device)

    @cached_property
    def mask_NN(self) -> Tensor:
        """Attention mask: True where the query (row) attends to the key (column)."""
        places = torch.arange(self.tokens, device=self.device)
        return (places <= places[:, None]) & (places[:, None] < self.subtree_ends_N)

    @cached_property
    def block_mask(self) -> Any:
        """Attention mask of FlexAttention."""
        from torch.nn.attention.flex_attention import create_block_mask

        ends_N = self.subtree_ends_N

        def attends(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (query < ends_N[key])

        return create_block_mask(attends, None, None, self.tokens, self.tokens, device=str(self.device))

    @cached_property
    def parents(self) -> tuple[Node, ...]:
        """Nodes with descendants."""
        return tuple(node for node in self.nodes if node.subtree_end > node.end)

    @cached_property
    def parts(self) -> tuple[_Part, ...]:
        """All nodes, each in one part."""
        parts: list[list[Node]] = []
        for node in sorted(self.nodes, key=lambda node: node.length, reverse=True):
            if parts and parts[-1][0].length <= _PADDING * node.length:
                parts[-1].append(node)
            else:
                parts.append([node])
        return tuple(_Part(part) for part in parts)


class _SplitAttention(torch.autograd.Function):
    """Attention over a tree on the CPU.

    Query [1, heads, N, D], key and value [1, key heads, N, D]; returns [N, heads, D], as the next projection reads it.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - as autograd calls it
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, tree: PrefixTree, scale: float | None
    ) -> Tensor:
        heads, tokens = query.shape[1:3]
        output = query.new_empty(tokens, heads, value.shape[-1])
        sums = torch.empty(tokens, heads, dtype=torch.promote_types(query.dtype, torch.float32))
        packed = _packed(query, key, value)
        for part in tree.parts:
            own, own_sums = _FLASH(*map(part.rows, packed), 0.0, True, scale=scale)
            part.put(own, output)
            part.put(own_sums, sums)
        for node in tree.parents:
            above, below = slice(node.start, node.end), slice(node.end, node.subtree_end)
            seen, seen_sums = _packed(
                *_FLASH(query[:, :, below], key[:, :, above], value[:, :, above], 0.0, False, scale=scale)
            )
            merged = torch.logaddexp(sums[below], seen_sums)
            output[below] *= (sums[below] - merged).exp().unsqueeze(-1)
            output[below] += seen * (seen_sums - merged).exp().unsqueeze(-1)
            sums[below] = merged
        ctx.save_for_backward(query, key, value, output, sums)
        ctx.tree, ctx.scale = tree, scale
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        query, key, value, output, sums = ctx.saved_tensors
        packed = _packed(query, key, value)
        gradients = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in packed]
        for part in ctx.tree.parts:
            known = [*map(part.rows, packed), part.rows(output), part.rows(sums)]
            found = _FLASH_BACKWARD(part.gradient_rows(gradient), *known, 0.0, True, scale=ctx.scale)
            for rows, whole in zip(found, gradients, strict=True):
                part.put(rows, whole)
        gradient, output, sums = (tensor.transpose(0, 1).unsqueeze(0) for tensor in (gradient, output, sums))
        for node in ctx.tree.parents:
            above, below = slice(node.start, node.end), slice(node.end, node.subtree_end)
            known = [query[:, :, below], key[:, :, above], value[:, :, above], output[:, :, below], sums[:, :, below]]
            found = _FLASH_BACKWARD(gradient[:, :, below], *known, 0.0, False, scale=ctx.scale)
            for rows, whole, place in zip(_packed(*found), gradients, (below, above, above), strict=True):
                whole[place] += rows
        return *(tensor.transpose(0, 1).unsqueeze(0) for tensor in gradients), None, None


def _packed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """View [1, heads, N, ...] as [N, heads, ...]."""
    return tuple(tensor[0].transpose(0, 1) for tensor in tensors)


def tree_attention(query: Tensor, key: Tensor, value: Tensor, tree: PrefixTree, scale: float | None = None) -> Tensor:
    """Compute attention over a packed sequence.

    Args:
        query: [1, heads, N, D].
        key: [1, key heads, N, D].
        value: [1, key heads, N, D].
        tree: which tokens attend to which.
        scale: factor of the scores; None: 1 / sqrt(D).

    Returns:
        [1, N, heads, D].
    """
    if query.device.type == "cpu":
        output: Tensor = _SplitAttention.apply(query, key, value, tree, scale)  # type: ignore[no-untyped-call]
        return output.unsqueeze(0)
    if query.device.type == "cuda":
        kernel: Callable[..., Tensor] = _flex_attention()
        mixed = kernel(query, key, value, block_mask=tree.block_mask, scale=scale, enable_gqa=True)
    else:
        grouped = query.shape[1] != key.shape[1]
        mixed = scaled_dot_product_attention(query, key, value, tree.mask_NN, scale=scale, enable_gqa=grouped)
    return mixed.transpose(1, 2).contiguous()


@cache
def _flex_attention() -> Callable[..., Tensor]:
    """Return the compiled kernel. ``dynamic``: it is not compiled again for each new length."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=True)
    return compiled


def _sdpa(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Compute transformers' ``sdpa``, or attention over a tree if the model was called with ``prefix_tree``."""
    tree: PrefixTree | None = kwargs.pop("prefix_tree", None)
    if tree is None:
        return sdpa_attention_forward(module, query, key, value, *args, **kwargs)
    if kwargs.get("sliding_window") is not None or kwargs.get("position_bias") is not None:
        raise ValueError("attention over a prefix tree has neither a sliding window nor a position bias")
    query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast, rotary positions are float32
    return tree_attention(query, key, value, tree, kwargs.get("scaling")), None


AttentionInterface.register("sdpa", _sdpa)


def tree_arguments(token_ids_N: Tensor, positions_N: Tensor, tree: PrefixTree) -> dict[str, Any]:
    """Return the arguments of a model's forward pass over a packed sequence."""
    # transformers passes on a mask of four dimensions as it is, and does not make its own; it is not read
    mask = torch.zeros(1, 1, 1, 1, device=token_ids_N.device)
    return {
        "input_ids": token_ids_N.unsqueeze(0),
        "position_ids": positions_N.unsqueeze(0),
        "attention_mask": mask,
        "prefix_tree": tree,
    }


@torch.no_grad()
def tree_problem(model: Any) -> str | None:
    """Return why a model cannot run over packed sequences, or None if it can.

    The hidden states of a small packed sequence are compared with those of its separate rows.
    """
    config = model.config.get_text_config()
    if model.config._attn_implementation != "sdpa":
        return f"its attention is {model.config._attn_implementation}, not sdpa"
    if {*(getattr(config, "layer_types", None) or ())} - {"full_attention"}:
        return "some of its layers do not attend to all tokens before"
    weight = model.get_input_embeddings().weight
    ids_N = torch.arange(1, 1 + _CHECKED.tokens, device=weight.device) % len(weight)
    rows = [[*range(3), *range(3, 5)], [*range(3), *range(5, 9)]]
    positions_N = torch.zeros_like(ids_N)
    for row in rows:
        positions_N[row] = torch.arange(len(row), device=weight.device)

    def hidden(**inputs: Any) -> Tensor:
        return model.base_model(**inputs, use_cache=False).last_hidden_state[0].float()  # type: ignore[no-any-return]

    try:
        packed_NH = hidden(**tree_arguments(ids_N, positions_N, _CHECKED.to(weight.device)))
    except (RuntimeError, TypeError, ValueError) as error:
        return f"its forward pass does not take a packed sequence ({str(error).partition(chr(10))[0]})"
    for row in rows:
        expected_LH = hidden(input_ids=ids_N[row].unsqueeze(0))
        difference = (packed_NH[row] - expected_LH).abs().max().item()
        # a few rounding errors of the model's dtype
        if not difference <= max(2e-5, 4 * torch.finfo(weight.dtype).eps) * max(1.0, expected_LH.abs().max().item()):
            return f"its hidden states differ, by up to {difference:.3g}"
    return None


#: A prompt of three tokens with completions of two and four.
_CHECKED = PrefixTree((Node(0, 3, 9), Node(3, 5, 5), Node(5, 9, 9)))
