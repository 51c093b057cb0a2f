"""What the trainer measures beside `igrpo.metrics`: unit and definition of every name.

Ratios, clip shares, KL and the gap to the sampler are taken over the tokens that went through the update. Without a KL
term and an entropy bonus these are the tokens of groups with a variance: the others have no gradient.
"""

from __future__ import annotations

TRAINING_METRIC_DOCS: dict[str, str] = {
    "train/loss": "loss; mean over the updates of the step, as the objective aggregates it",
    "train/learning_rate": "rate; of this step's updates",
    "train/gradient_norm": "norm; before clipping, mean over the updates that were taken",
    "train/gradient_clipped_share": "share; of updates whose gradient was longer than trainer.clip_norm",
    "train/ratio_mean": "ratio; pi / pi_old, mean over trained tokens (sequences, for objective.ratio=sequence)",
    "train/ratio_max": "ratio; the largest",
    "train/clip_share_low": "share; of tokens (or sequences) that the lower clip holds back",
    "train/clip_share_high": "share; of tokens (or sequences) that the upper clip holds back",
    "train/kl_old": "nats a token; KL(pi_old || pi), k3 estimate",
    "train/kl_reference": "nats a token; KL(pi || reference), k3 estimate; only with objective.kl_beta > 0",
    "train/sampler_logprob_gap_mean": "nats; |log-prob of the trainer - of the sampler|, mean over trained tokens",
    "train/sampler_logprob_gap_max": "nats; the largest",
    "budget/samples": "completions; drafts and refinements sampled for training so far",
    "budget/generated_tokens": "tokens; sampled for training so far",
    "budget/prefilled_tokens": "tokens; of prompts that went through the model while sampling, so far",
    "budget/trained_tokens": "tokens; of prompts and completions that went forward and backward, so far",
    "budget/flops": "operations; of sampling and updates so far, from the model's shape (igrpo/flops.py says how)",
    "budget/skipped_updates": "updates; left out because they were not finite (trainer.on_nonfinite=skip), so far",
}

#: Phases of `seconds/PHASE` (so far) and `step_seconds/PHASE` (of the step).
PHASE_DOCS: dict[str, str] = {
    "generation": "the engine prefills or decodes",
    "reward_wait": "the rollout cycle waits for something else, mostly for rewards",
    "update": "advantages, forward, backward, optimizer",
    "weight_sync": "the engine takes over the new weights",
    "evaluation": "held-out questions",
    "checkpoint": "checkpoints are written",
}
