"""Attention over a tree against attention with its mask, and FlexAttention's rule against the same mask."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import scaled_dot_product_attention

from igrpo.models.prefix_tree import Node, PrefixTree
from igrpo.models.tree_attention import tree_attention

#: A prompt with three completions, a lone row, and a prompt with a completion and a longer prompt of two completions.
NODES = (
    Node(0, 5, 16), Node(5, 8, 8), Node(8, 9, 9), Node(9, 16, 16),
    Node(16, 20, 20),
    Node(20, 24, 37), Node(24, 27, 27), Node(27, 30, 37), Node(30, 33, 33), Node(33, 37, 37),
)  # fmt: skip
SHAPES = ((4, 4), (4, 2), (3, 1))


def random_nodes(rng: random.Random) -> list[Node]:
    nodes: list[Node] = []

    def grow(start: int, depth: int) -> int:
        here, end = len(nodes), start + rng.randint(1, 9)
        nodes.append(Node(start, end, end))
        last = end
        for _ in range(rng.randint(0, 3) if depth < 3 else 0):
            last = grow(last, depth + 1)
        nodes[here] = Node(start, end, last)
        return last

    last = 0
    for _ in range(rng.randint(1, 4)):
        last = grow(last, 0)
    return nodes


def inputs(heads: int, key_heads: int, tokens: int, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(heads, 8), (key_heads, 8), (key_heads, 8)]
    packed = [torch.randn(1, tokens, n, size, generator=generator, dtype=torch.float64) for n, size in shapes]
    return [tensor.to(dtype).transpose(1, 2).requires_grad_() for tensor in packed]


def with_gradients(output: Tensor, given: list[Tensor]) -> list[Tensor]:
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return [output.detach(), *torch.autograd.grad((output.double() * direction).sum(), given)]


def masked(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None = None) -> Tensor:
    return scaled_dot_product_attention(query, key, value, mask, scale=scale, enable_gqa=True).transpose(1, 2)


def by_definition(nodes: tuple[Node, ...] | list[Node]) -> Tensor:
    """Each token sees its ancestors and, of its own node, itself and what is before it."""
    tokens = nodes[-1].end
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for node in nodes:
        for query in range(node.start, node.end):
            for above in nodes:
                if above.start <= node.start < above.subtree_end and above != node:
                    mask[query, above.start : above.end] = True
            mask[query, node.start : query + 1] = True
    return mask


@pytest.mark.parametrize("seed", range(20))
def test_the_mask_is_that_of_ancestors(seed: int) -> None:
    nodes = random_nodes(random.Random(seed))
    assert torch.equal(PrefixTree(nodes).mask_NN, by_definition(nodes))


@pytest.mark.parametrize(("heads", "key_heads"), SHAPES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.05)]
)
def test_values_and_gradients_are_those_of_the_mask(
    heads: int, key_heads: int, dtype: torch.dtype, tolerance: float
) -> None:
    tree = PrefixTree(NODES)
    given = inputs(heads, key_heads, tree.tokens, dtype)
    exact = [tensor.detach().double().requires_grad_() for tensor in given]
    expected = with_gradients(masked(*exact, by_definition(NODES), scale=0.3), exact)
    found = with_gradients(tree_attention(*given, tree, 0.3), given)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(20))
def test_random_trees_have_the_mask_s_values_and_gradients(seed: int) -> None:
    tree = PrefixTree(random_nodes(random.Random(seed)))
    given = inputs(4, 2, tree.tokens, torch.float64, seed)
    expected = with_gradients(masked(*given, tree.mask_NN), given)
    for mine, theirs in zip(with_gradients(tree_attention(*given, tree), given), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_gradients_pass_a_numerical_check() -> None:
    tree = PrefixTree((Node(0, 2, 6), Node(2, 3, 3), Node(3, 6, 6)))
    given = [tensor[..., :3].detach().requires_grad_() for tensor in inputs(2, 1, 6, torch.float64)]
    assert torch.autograd.gradcheck(lambda *qkv: tree_attention(*qkv, tree), given)


def test_flex_attention_follows_the_same_mask() -> None:
    tree = PrefixTree(NODES)
    given = [tensor.detach() for tensor in inputs(4, 2, tree.tokens, torch.float32)]
    found = flex_attention(*given, block_mask=tree.block_mask, enable_gqa=True)
    torch.testing.assert_close(found.transpose(1, 2), masked(*given, tree.mask_NN), rtol=1e-5, atol=1e-5)
