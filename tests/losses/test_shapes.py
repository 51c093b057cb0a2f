"""The annotations of igrpo.losses are checked while these tests run."""

import pytest
import torch
from jaxtyping import TypeCheckError

from igrpo.losses import group_advantages, token_logprobs

from .batches import loss_of, random_batch
from .presets import ADVANTAGES, LOSSES


def test_a_wrong_shape_is_refused() -> None:
    batch = random_batch(0)
    with pytest.raises(TypeCheckError, match="mask_BT"):
        loss_of(batch.with_(mask=batch.mask[:, 1:]), LOSSES["grpo"])
    with pytest.raises(TypeCheckError, match="advantages"):
        loss_of(batch.with_(advantages=batch.advantages[1:]), LOSSES["grpo"])
    with pytest.raises(TypeCheckError, match="targets"):
        token_logprobs(
            torch.zeros(3, 2), torch.zeros(5, 2), torch.zeros(4).long(), temperature=1.0, chunk=2, with_entropy=False
        )


def test_a_wrong_type_is_refused() -> None:
    batch = random_batch(0)
    with pytest.raises(TypeCheckError, match="mask_BT"):
        loss_of(batch.with_(mask=batch.mask.double()), LOSSES["grpo"])
    with pytest.raises(TypeCheckError, match="entropies_BT"):
        loss_of(batch.with_(entropies=batch.entropies.long()), LOSSES["grpo"])
    with pytest.raises(TypeCheckError, match="rewards_G"):
        group_advantages(torch.tensor([1, 0]), **ADVANTAGES["grpo"])
