"""Ready objectives: `grpo`, `dr_grpo`, `dapo`, `gspo`, `cispo`, `rloo`, `best_of_n`, one per file of conf/objective.

Each is a function that returns an `Objective` with the values of its file; keyword arguments change some of them:

>>> import torch
>>> from igrpo import losses
>>> objective = losses.grpo(clip_high=0.28)
>>> advantages = objective.advantages(torch.tensor([1.0, 0.0, 0.0, 1.0]))  # rewards of G = 4 completions
>>> logprobs_BT = torch.full((4, 3), -1.5, requires_grad=True)  # of B = 4 completions of T = 3 tokens, in nats
>>> mask_BT = torch.tensor([[True] * 3, [True] * 3, [True, True, False], [True] * 3])
>>> output = objective.loss(logprobs_BT, advantages, mask_BT, old_logprobs_BT=torch.full((4, 3), -1.6))
>>> output.loss.backward()
>>> round(output.metrics.finalise()["ratio_mean"], 3)
1.105
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from igrpo.losses.objective import Objective
from igrpo.messages import setting_hint
from igrpo.settings.importance_weights import NO_WEIGHTS, CrossPromptConfig, ImportanceWeightsConfig
from igrpo.settings.objective import ObjectiveConfig
from igrpo.shipped import merge, shipped


def objective(
    name: str,
    /,
    *,
    sampler_weights: ImportanceWeightsConfig = NO_WEIGHTS,
    cross_prompt: CrossPromptConfig | None = None,
    **coefficients: Any,
) -> Objective:
    """Return the objective of conf/objective/NAME.yaml.

    Args:
        name: name of the file, such as ``grpo``.
        sampler_weights: importance weights for a sampler that differs from the trainer; by default all are 1.
        cross_prompt: treatment of completions that were sampled from another prompt; None if there are none.
        coefficients: values that differ from those of the file, by the names of its settings (`igrpo.settings.
            objective.ObjectiveConfig`). A section takes a mapping: ``advantage={"scale": "none"}``.

    Raises:
        ValueError: there is no such objective or setting, a value is invalid, or one is missing (Dr. GRPO needs
            ``constant_divisor``, the number of tokens that token sums are divided by).
    """
    values = merge(_values(name), coefficients)
    missing = [key for key, value in values.items() if isinstance(value, str) and value.startswith("${")]
    if missing:
        raise ValueError(f"igrpo.losses.{name}: {missing[0]} has no value of its own; give {missing[0]}=NUMBER")
    try:
        settings = ObjectiveConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"igrpo.losses.{name}: {'; '.join(map(_problem, error.errors()))}") from None
    return Objective(settings, sampler_weights, cross_prompt)


def names() -> tuple[str, ...]:
    """Return the names of the objectives in conf/objective."""
    return tuple(sorted(path.stem for path in (shipped("conf") / "objective").glob("*.yaml")))


def _values(name: str) -> dict[str, Any]:
    """Return the values of a file and of the files in its defaults list, as Hydra composes them."""
    file = shipped("conf") / "objective" / f"{name}.yaml"
    if not file.is_file():
        raise ValueError(f"igrpo.losses: there is no objective {name!r}; the objectives are {', '.join(names())}")
    own = yaml.safe_load(file.read_text(encoding="utf-8"))
    values: dict[str, Any] = {}
    for entry in own.pop("defaults", ["_self_"]):
        values = merge(values, own if entry == "_self_" else _values(entry))
    return values


def _keys(values: Mapping[str, Any], section: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{section}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{section}{key}.")


def _problem(error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{key}: no such setting{setting_hint(key, list(_keys(_values('grpo'))))}"
    return f"{key}={error['input']!r}: {error['msg']}"


def _factory(name: str, title: str) -> Callable[..., Objective]:
    def make(**coefficients: Any) -> Objective:
        return objective(name, **coefficients)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{title}\n\nThe values are those of conf/objective/{name}.yaml; see `objective` for the arguments."
    return make


grpo = _factory("grpo", "Return the loss of GRPO (arXiv 2402.03300) and iGRPO (arXiv 2602.09000, Eq. 3-6).")
dr_grpo = _factory("dr_grpo", "Return the loss of Dr. GRPO (arXiv 2503.20783). It needs ``constant_divisor=TOKENS``.")
dapo = _factory("dapo", "Return the loss of DAPO (arXiv 2503.14476).")
gspo = _factory("gspo", "Return the loss of GSPO (arXiv 2507.18071).")
cispo = _factory("cispo", "Return the loss of CISPO (arXiv 2506.13585).")
rloo = _factory("rloo", "Return the loss of RLOO (arXiv 2402.14740).")
best_of_n = _factory("best_of_n", "Return the loss of best-of-N fine-tuning (RAFT, arXiv 2304.06767).")
