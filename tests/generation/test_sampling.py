"""The sampling distribution against naive references, and the random numbers' properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformers import TopKLogitsWarper, TopPLogitsWarper

from igrpo.generation.sampling import RowSampling, sample_tokens, uniforms


def how(rows: int, temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0) -> RowSampling:
    return RowSampling(
        temperatures=torch.full((rows,), temperature),
        top_ps=torch.full((rows,), top_p, dtype=torch.float64),
        top_ks=torch.full((rows,), top_k),
        tempered=temperature != 1,
        filtered=top_k > 0 or top_p < 1,
        greedy=temperature == 0,
    )


def splitmix64(state: int) -> int:
    """The generator's published output function, on Python integers."""
    z = state & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return z ^ (z >> 31)


@given(seed=st.integers(0, 2**63 - 1), position=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_uniforms_are_the_published_generator(seed: int, position: int) -> None:
    expected = splitmix64(splitmix64(seed) + (position + 1) * 0x9E3779B97F4A7C15) >> 11
    assert uniforms(torch.tensor([seed]), torch.tensor([position])).item() == expected * 2.0**-53


def test_splitmix64_reference_value() -> None:
    # First output of SplitMix64 from state 0, as listed for the reference implementation (prng.di.unimi.it).
    assert splitmix64(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


def test_uniforms_are_uniform_and_uncorrelated() -> None:
    seeds, positions = torch.arange(300)[:, None].expand(300, 100), torch.arange(100).expand(300, 100)
    draws = uniforms(seeds.reshape(-1), positions.reshape(-1)).view(300, 100)
    assert stats.kstest(draws.flatten().numpy(), "uniform").pvalue > 1e-3
    for first, second in ((draws[:-1], draws[1:]), (draws[:, :-1], draws[:, 1:])):
        assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 4 / math.sqrt(29_000)


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"), [(1, 1, 0), (0.7, 1, 0), (0.7, 1, 5), (1.3, 0.8, 0), (1, 0.6, 7)]
)
def test_distribution_is_that_of_transformers_warpers(temperature: float, top_p: float, top_k: int) -> None:
    logits = 2 * torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    scores = logits / temperature
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    expected = scores.double().log_softmax(-1)
    draws = torch.linspace(0, 1 - 1e-9, 50, dtype=torch.float64)
    sampled = sample_tokens(logits, draws, how(50, temperature, top_p, top_k))
    chosen = expected.gather(-1, sampled.tokens[:, None])[:, 0]
    torch.testing.assert_close(sampled.logprobs.double(), chosen, atol=1e-6, rtol=0)
    entropies = -(expected.exp() * expected.clamp_min(-1e30)).sum(-1)
    torch.testing.assert_close(sampled.sampling_entropies.double(), entropies, atol=1e-5, rtol=0)
    policy = logits.double().log_softmax(-1)
    torch.testing.assert_close(sampled.policy_entropies.double(), -(policy.exp() * policy).sum(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("top_p", "kept"), [(0.25, 1), (0.5, 2), (0.500001, 3), (0.75, 3), (1.0, 4)])
def test_top_p_that_is_exactly_a_mass_keeps_no_token_more(top_p: float, kept: int) -> None:
    """The smallest set of at least that mass: four equal tokens have a quarter each, without rounding."""
    draws = torch.linspace(0, 1 - 1e-9, 64, dtype=torch.float64)
    sampled = sample_tokens(torch.zeros(64, 4), draws, how(64, top_p=top_p))
    assert set(sampled.tokens.tolist()) == set(range(kept))
    torch.testing.assert_close(sampled.logprobs, torch.full((64,), -math.log(kept)))


@pytest.mark.parametrize(("temperature", "top_p", "top_k"), [(1, 1, 0), (0.7, 1, 0), (1, 0.8, 6)])
def test_frequencies_match_the_distribution(temperature: float, top_p: float, top_k: int) -> None:
    rows = 20_000
    logits = torch.randn(12, generator=torch.Generator().manual_seed(3)).expand(rows, 12)
    sampled = sample_tokens(
        logits, uniforms(torch.arange(rows), torch.zeros(rows).long()), how(rows, temperature, top_p, top_k)
    )
    counts = torch.bincount(sampled.tokens, minlength=12).double()
    scores = logits[:1] / temperature
    scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    scores = TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores
    expected = scores[0].double().softmax(-1) * rows
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    assert stats.chisquare(counts[possible].numpy(), expected[possible].numpy()).pvalue > 1e-3


def test_a_token_without_mass_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 1.0, -torch.inf, 2.0, -torch.inf]]).expand(3, 5)
    draws = torch.tensor([0.0, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    sampled = sample_tokens(logits, draws, how(3))
    assert sampled.tokens.tolist() == [1, 3, 3]
    assert not sampled.broken.any()
    p = 1 / (1 + math.exp(-1.0))  # of the larger one
    assert sampled.policy_entropies[0].item() == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p), abs=1e-6)


@pytest.mark.parametrize("vocabulary", [4096, 4097, 8192, 9999])
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_a_large_vocabulary_is_inverted_like_a_small_one(vocabulary: int, spread: float) -> None:
    """The token is the first whose exact cumulative mass is above the number, at every block's ends as elsewhere."""
    rows = 400
    logits = spread * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(2))
    logits[:, ::3] = -torch.inf
    mass = logits.log_softmax(-1).exp().double()
    cumulative = mass.cumsum(-1)
    ends = cumulative[:200, 255::256] / cumulative[:200, -1:]
    draws = uniforms(torch.arange(rows), torch.zeros(rows).long())
    draws[:200] = (ends[torch.arange(200), torch.arange(200) % ends.shape[1]] - 1e-12).clamp(0, 1 - 2.0**-53)
    draws[200:202] = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)
    tokens = sample_tokens(logits, draws, how(rows)).tokens
    expected = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)[:, 0]
    assert torch.equal(tokens, expected)
    exact_ends = ends[torch.arange(200), torch.arange(200) % ends.shape[1]].clamp(max=1 - 2.0**-53)
    assert (mass[:200].gather(-1, sample_tokens(logits[:200], exact_ends, how(200)).tokens[:, None]) > 0).all()


def test_rows_in_several_passes_are_those_of_single_passes() -> None:
    rows, vocabulary = 11, 60_000  # 4 rows a pass
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(4))
    draws = uniforms(torch.arange(rows), torch.zeros(rows).long())
    mixed = RowSampling(
        temperatures=torch.linspace(0.0, 2.0, rows),
        top_ps=torch.linspace(0.5, 1.0, rows, dtype=torch.float64),
        top_ks=torch.arange(rows),
        tempered=True,
        filtered=True,
        greedy=True,
    )
    together = sample_tokens(logits, draws, mixed)
    for row in range(rows):
        part = slice(row, row + 1)
        alone = sample_tokens(logits[part], draws[part], mixed.rows(part))
        for name in ("tokens", "logprobs", "sampling_entropies", "policy_entropies", "broken"):
            assert torch.equal(getattr(alone, name), getattr(together, name)[part])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_unusable_logits_of_a_large_vocabulary_are_reported(bad: float) -> None:
    logits = torch.zeros(2, 5000)
    logits[1, slice(None) if bad == -torch.inf else 4000] = bad
    sampled = sample_tokens(logits, torch.full((2,), 0.5, dtype=torch.float64), how(2))
    assert sampled.broken.tolist() == [False, True]
    assert sampled.tokens[0] == 2500
    assert sampled.tokens[1] < 5000


def test_greedy_takes_the_first_largest_and_has_no_randomness() -> None:
    logits = torch.tensor([[0.0, 3.0, 3.0, 1.0]])
    sampled = sample_tokens(logits, torch.tensor([0.99], dtype=torch.float64), how(1, temperature=0.0))
    assert (sampled.tokens.item(), sampled.logprobs.item(), sampled.sampling_entropies.item()) == (1, 0.0, 0.0)
    assert sampled.policy_entropies.item() > 0.5


def test_settings_of_other_rows_change_no_bit() -> None:
    logits = torch.randn(4, 200, generator=torch.Generator().manual_seed(1)) * 3
    draws = uniforms(torch.arange(4), torch.zeros(4).long())
    alone = sample_tokens(logits[:1], draws[:1], how(1))
    mixed = RowSampling(
        temperatures=torch.tensor([1.0, 0.5, 0.0, 1.0]),
        top_ps=torch.tensor([1.0, 1.0, 1.0, 0.3], dtype=torch.float64),
        top_ks=torch.tensor([0, 3, 0, 0]),
        tempered=True,
        filtered=True,
        greedy=True,
    )
    together = sample_tokens(logits, draws, mixed)
    for name in ("tokens", "logprobs", "sampling_entropies", "policy_entropies"):
        assert torch.equal(getattr(alone, name), getattr(together, name)[:1])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_unusable_logits_are_reported_for_their_row_only(bad: float) -> None:
    logits = torch.zeros(2, 4)
    logits[1, 2] = bad
    for settings_ in (how(2), how(2, temperature=0.0), how(2, 0.7, 0.9, 2)):
        sampled = sample_tokens(logits, torch.full((2,), 0.5, dtype=torch.float64), settings_)
        assert sampled.broken.tolist() == [False, True]
        assert sampled.tokens.max() < 4
    assert sample_tokens(torch.full((1, 4), -torch.inf), torch.tensor([0.5]).double(), how(1)).broken.item()
