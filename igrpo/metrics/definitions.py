"""Units and definitions of the trainer's metrics (those of `igrpo.metrics.samples` are defined there).

Ratios, clip shares, KL and the gap to the sampler are computed over the tokens that went through the update. Without a
KL term and an entropy bonus, these are the tokens of groups whose rewards vary. The others have no gradient.
"""

from __future__ import annotations

from igrpo.metrics.trained_stages import TRAINED_STAGE_DOCS

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
    "train/sampler_kl_k1": "nats a token; KL(sampler || pi_old), k1 estimate",
    "train/sampler_kl_k3": "nats a token; KL(sampler || pi_old), k3 estimate",
    "train/sampler_ratio_mean": "ratio; pi_old / sampler, mean over tokens (sequences, for correction.level=sequence)",
    "train/sampler_ratio_max": "ratio; the largest",
    "train/sampler_ess": "share; effective sample size of the completions under pi_old / sampler: 1 where they agree",
    "train/correction_share_low": "share; of tokens (sequences) that correction.low truncates or masks",
    "train/correction_share_high": "share; of tokens (sequences) that correction.high truncates or masks",
    "transferred/logprob_gap_mean": "nats; |log-prob given the bare question - given q'|, mean over tokens of "
    "completions that are trained as answers to q and were sampled from q' (internalized, or refined after a critique)",
    "transferred/kl": "nats a token; KL(pi_old given q' || pi_old given q) on these completions, k3 estimate",
    "transferred/ess": "share; effective sample size of these completions as answers to the bare question",
    "transferred/capped_share": "share; of their tokens (sequences) whose weight algorithm.transfer.cap cuts",
    "train/canary_gap": "nats a token; trainer against engine on a fixed text after the weight sync; with vLLM only",
    "memory/peak_gib": "GiB; the most that torch held on the main process's CUDA device during the step",
    "budget/samples": "completions; sampled for training so far: answers, drafts, critiques, and all other kinds",
    "budget/samples_per_question": "completions; sampled for a question of this step, mean over its questions",
    "budget/generated_tokens": "tokens; sampled for training so far",
    "budget/prefilled_tokens": "tokens; of prompts that went through the model while sampling, so far",
    "budget/trained_tokens": "tokens; of prompts and completions that went forward and backward, so far",
    "budget/flops": "operations; of sampling and updates so far, from the model's shape (see igrpo/models/flops.py)",
    "budget/skipped_updates": "updates; left out because they were not finite (trainer.on_nonfinite=skip), so far",
}

#: With dynamic_sampling. All other sample metrics include dropped questions.
DYNAMIC_SAMPLING_DOCS: dict[str, str] = {
    "dynamic/sampled_questions": "count; questions asked in the step, the replacements and the dropped ones too",
    "dynamic/attempts": "count; further questions asked in the place of the step that needed the most",
    "dynamic/dropped": "count; questions dropped because nothing that they would train on has an advantage",
    "dynamic/dropped_all_right": "count; of them, those whose trained groups are all right",
    "dynamic/dropped_all_wrong": "count; of them, those whose trained groups are all wrong",
    "dynamic/missing": "count; places of the step that found no question to train on: it is smaller by them",
}

#: With objective.overlong_buffer.
OVERLONG_DOCS: dict[str, str] = {
    "train/overlong_penalty_mean": "reward; soft overlong penalty, -1 to 0, mean over the completions that are trained",
}

#: With objective.entropy_control.target.
ENTROPY_CONTROL_DOCS: dict[str, str] = {
    "train/entropy": "nats a token; of the policy at temperature 1, mean over measured tokens of trained completions",
    "train/entropy_coefficient": "weight; of the entropy bonus in this step: 0 where train/entropy is above the target",
}

#: With alarms. ``start`` and ``now`` are means over the first and the latest alarms.window steps that train a stage. An
#: alarm goes off if its condition holds in one stage (see `igrpo.metrics.alarms`).
ALARM_DOCS: dict[str, str] = {
    "answers/differ_from_last_step_share": "share; of trained completions with a number in the box and as the result "
    "of the last step before it (after the last =), those where the two differ",
    **TRAINED_STAGE_DOCS,
    "alarm/entropy_collapse": "0 or 1; entropy now < alarms.entropy_share * start, in a stage that is trained",
    "alarm/length_drift": "0 or 1; mean length now > alarms.length_ratio * start, or < start / alarms.length_ratio",
    "alarm/answer_differs_from_last_step": "0 or 1; trained/stageN/differ_from_last_step_share now > start + "
    "alarms.answer_differs_rise",
    "alarm/copying": "0 or 1, at evaluations; development single-shot accuracy is alarms.accuracy_fall or more below "
    "its best, and the reward of a trained stage (mean of the latest alarms.window steps) above what it was then",
    "alarm/failed": "1 where the alarms could not be judged, for an error that the log has; else absent",
}

#: Phases of `seconds/PHASE` (so far) and `step_seconds/PHASE` (of the step).
PHASE_DOCS: dict[str, str] = {
    "generation": "the engine prefills or decodes",
    "reward_wait": "the rollout cycle waits for something else, mostly for rewards",
    "update": "advantages, forward, backward, optimizer",
    "entropies": "the trainer measures entropies that the engine does not report",
    "weight_sync": "the engine takes over the new weights, and a fixed text proves it",
    "evaluation": "held-out questions",
    "checkpoint": "checkpoints are written",
}
