"""Definition of every metric, in one table: `python -m igrpo.metrics.definitions > docs/metrics.md`.

One line per metric: unit; definition. A metric without a value in a step (for example, a share with an empty
denominator) is left out of the step. ``SPLIT`` is ``development``, ``test`` or the name of a benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator

from igrpo.evaluation.result import EVALUATION_METRIC_DOCS
from igrpo.metrics.trained import DIFFERS
from igrpo.rewards.judge.counts import METRIC_DOCS as JUDGE
from igrpo.types import ANSWER_ROLES, OUTCOMES, ROLES, Role

_OF_ROLE = {
    "entropy": "nats per token; entropy of the policy at temperature 1, mean over measured tokens (paper, Eq. 7)",
    "sampling_entropy": "nats per token; entropy of the distribution that was sampled from (temperature, top-k, top-p)",
    "length_mean": "tokens; completion length with its stop token, mean",
    "length_max": "tokens; the longest completion",
    "truncated_share": "share; completions that the token limit ended",
    "completions": "count; completions sampled in the step",
}
_OF_SCORED_ROLE = {
    "reward_mean": "reward; mean over the completions that have a score",
    "reward_std": "reward; sample standard deviation (n-1) within a sampling round, mean over rounds of two or more",
    "reward_best": "reward; the best of each sampling round, mean over the rounds",
    "accuracy": "share; right among the completions whose verdict is known",
}
_OF_ANSWERS = {
    "reward_shown": "reward; mean over the completions that a later prompt showed",
    **{f"outcome/{outcome}": f"share; completions scored '{outcome}'" for outcome in OUTCOMES},
}


def _role_metrics(role: Role) -> Iterator[tuple[str, str]]:
    scored = _OF_SCORED_ROLE if role != "critique" else {}
    answering = _OF_ANSWERS if role in ANSWER_ROLES else {}
    for name, text in (_OF_ROLE | scored | answering).items():
        yield f"{role}/{name}", f"{text}, of {role}s"


_COPIES = {
    "answer_rate": "share; refinements whose extracted answer is that of the draft they saw (no answer: no copy)",
    "text_similarity": "0 to 1; 1 - Levenshtein distance / longer length, on tokens without the stop token (at most "
    "the first 4,096), mean over refinements",
    "exact_rate": "share; refinements that repeat the draft token by token",
}
_COPY_SPLITS = {"": "", "_given_right": ", of right drafts", "_given_wrong": ", of wrong drafts"}

_SAMPLES = {
    **{name: text for role in ROLES for name, text in _role_metrics(role)},
    **{f"reward/outcome/{o}": f"share; answers, drafts and refinements scored '{o}'" for o in OUTCOMES},
    "critique/asked_share": "share of questions; no first answer is known to be right, so that critiques were sampled",
    "critique/right_share": "share; right among the refinements after a critique (verdict known)",
    "critique/kept_right_share": "share; right among those of them that are trained (verdict known)",
    "verification/accuracy_given_right": "share; right verdicts, where the earlier answer is right",
    "verification/accuracy_given_wrong": "share; right verdicts, where the earlier answer is wrong",
    "verification/said_right_share": "share; verdicts that call the answer right, among those that can be read",
    "verification/unparsable_share": "share; verifications without a verdict that can be read (not a right verdict)",
    "verification/right_share": "share of verified answers; right, by the reward when they were sampled",
    "verification/asked_share": "share of questions; an earlier answer was verified in the same rollout",
}

_DRAFTS = {
    "transfer/lift": "reward; mean of the refinements minus mean of the drafts, mean over rounds of refinements",
    "transfer/right_given_right": "share; right among the refinements (verdict known) that saw a right draft",
    "transfer/right_given_wrong": "share; right among the refinements (verdict known) that saw a wrong draft",
    "transfer/wrong_given_right": "share; wrong among the refinements (verdict known) that saw a right draft",
    **{f"copy/{n}{end}": text + of for n, text in _COPIES.items() for end, of in _COPY_SPLITS.items()},
    "draft/all_failed_share": "share of rounds of refinements; no draft is known to be right",
    "draft/shown_share": "share of rounds of refinements; the prompt showed a draft",
    "draft/cut_share": "share of shown drafts; their budget cut the middle out",
}

_GROUPS = {
    "groups/zero_variance_share": "share of training groups of two or more; max - min of the rewards "
    "<= tolerance * max(1, max |reward|)",
    "groups/all_right_share": "share of training groups of two or more; every sample is known to be right",
    "groups/all_wrong_share": "share of training groups of two or more; every sample is known to be wrong",
}

#: Ratios, clip shares, KL and the gap to the sampler are over the tokens that went through the update. Without a KL
#: term and an entropy bonus, these are the tokens of groups whose rewards vary. The others have no gradient.
_UPDATE = {
    "train/reward": "reward; mean over the answers, drafts and refinements that are trained, whatever the algorithm",
    "train/entropy": "nats per token; of the policy at temperature 1, mean over measured tokens of the samples "
    "that are trained, whatever the algorithm",
    "train/loss": "loss; mean over the updates of the step, as the objective aggregates it",
    "train/learning_rate": "rate; of this step's updates",
    "train/gradient_norm": "norm; before clipping, mean over the updates that were taken",
    "train/gradient_clipped_share": "share; of updates whose gradient was longer than trainer.clip_norm",
    "train/ratio_mean": "ratio; pi / pi_old, mean over trained tokens (sequences, for objective.ratio=sequence)",
    "train/ratio_max": "ratio; the largest",
    "train/clip_share_low": "share; of tokens (or sequences) clipped at the lower bound",
    "train/clip_share_high": "share; of tokens (or sequences) clipped at the upper bound",
    "train/kl_old": "nats per token; KL(pi_old || pi), k3 estimate",
    "train/kl_reference": "nats per token; KL(pi || reference), k3 estimate; only with objective.kl_beta > 0",
    "train/sampler_logprob_gap_mean": "nats; |log-prob of the trainer - of the sampler|, mean over trained tokens",
    "train/sampler_logprob_gap_max": "nats; the largest",
    "train/sampler_kl_k1": "nats per token; KL(sampler || pi_old), k1 estimate",
    "train/sampler_kl_k3": "nats per token; KL(sampler || pi_old), k3 estimate",
    "train/sampler_ratio_mean": "ratio; pi_old / sampler, mean over tokens (sequences, for correction.level=sequence)",
    "train/sampler_ratio_max": "ratio; the largest",
    "train/sampler_ess": "share; effective sample size of the completions under pi_old / sampler: 1 where they agree",
    "train/correction_share_low": "share; of tokens (sequences) that correction.low truncates or masks",
    "train/correction_share_high": "share; of tokens (sequences) that correction.high truncates or masks",
    "transferred/logprob_gap_mean": "nats; |log-prob given the bare question - given q'|, mean over tokens of "
    "completions that are trained as answers to q and were sampled from q' (internalized, or refined after a critique)",
    "transferred/kl": "nats per token; KL(pi_old given q' || pi_old given q) on these completions, k3 estimate",
    "transferred/ess": "share; effective sample size of these completions as answers to the bare question",
    "transferred/capped_share": "share; of their tokens (sequences) whose weight algorithm.transfer.cap limits",
    "train/canary_gap": "nats per token; trainer against engine on a fixed text after the weight sync; with vLLM only",
    "train/overlong_penalty_mean": "reward; soft overlong penalty, -1 to 0, mean over the samples that are trained; "
    "only with objective.overlong_buffer",
    "train/entropy_coefficient": "weight; of the entropy bonus in this step: 0 where train/entropy is above the "
    "target; only with objective.entropy_control.target",
}

_COSTS = {
    "memory/peak_gib": "GiB; peak memory that torch allocated on the main process's CUDA device during the step",
    "budget/samples": "completions; sampled for training so far: answers, drafts, critiques, and all other kinds",
    "budget/samples_per_question": "completions; sampled for a question of this step, mean over its questions",
    "budget/generated_tokens": "tokens; sampled for training so far",
    "budget/prefilled_tokens": "tokens; of prompts that went through the model while sampling, so far",
    "budget/trained_tokens": "tokens; of prompts and completions that went forward and backward, so far",
    "budget/flops": "operations; of sampling and updates so far, from the model's shape (see igrpo/models/flops.py)",
    "budget/skipped_updates": "updates; left out because they were not finite (trainer.on_nonfinite=skip), so far",
}

#: With dynamic_sampling. Other sample metrics include dropped questions, but for train/reward and train/entropy.
_DYNAMIC = {
    "dynamic/sampled_questions": "count; questions asked in the step, the replacements and the dropped ones too",
    "dynamic/attempts": "count; replacements of the question of the step that needed the most",
    "dynamic/dropped": "count; questions dropped because nothing that they would train on has an advantage",
    "dynamic/dropped_all_right": "count; of them, those whose trained groups are all right",
    "dynamic/dropped_all_wrong": "count; of them, those whose trained groups are all wrong",
    "dynamic/missing": "count; questions of the step without a usable replacement: the step is smaller by them",
}

_OF_TRAINED_ROLE = {
    "questions_share": "share; of the step's questions with {role}s that are trained",
    "reward_mean": "reward; mean over the {role}s that are trained",
    "entropy": "nats per token; of the policy at temperature 1, mean over measured tokens of trained {role}s",
    "length_mean": "tokens; mean length of trained {role}s, stop tokens included",
    "differ_from_last_step_share": "share; " + DIFFERS + " of {role}s alone",
}

#: With alarms. ``start`` and ``now`` are means over the first and the latest alarms.window steps that train a role. An
#: alarm goes off if its condition holds for one role (see `igrpo.metrics.alarms`).
_ALARMS = {
    DIFFERS: "share; of trained completions with a number in the box and as the result of the last step before it "
    "(after the last =), those where the two differ",
    **{
        f"trained/{role}/{name}": text.format(role=role)
        for role in ROLES
        if role != "critique"
        for name, text in _OF_TRAINED_ROLE.items()
    },
    "alarm/entropy_collapse": "0 or 1; entropy now < alarms.entropy_share * start, of a role that is trained",
    "alarm/length_drift": "0 or 1; mean length now > alarms.length_ratio * start, or < start / alarms.length_ratio",
    "alarm/answer_differs_from_last_step": "0 or 1; trained/ROLE/differ_from_last_step_share now > start + "
    "alarms.answer_differs_rise",
    "alarm/copying": "0 or 1, at evaluations; development single-shot accuracy is alarms.accuracy_fall or more below "
    "its best, and the reward of a trained role (mean of the latest alarms.window steps) above what it was then",
    "alarm/failed": "1; the alarms could not be evaluated because of an error, which is logged (else absent)",
}

_PHASES = {
    "generation": "the engine prefills or decodes",
    "reward_wait": "the rollout cycle waits for something else, mostly for rewards",
    "update": "advantages, forward, backward, optimizer",
    "entropies": "the trainer measures entropies that the engine does not report",
    "weight_sync": "the engine receives the new weights, which is checked on a fixed text",
    "evaluation": "held-out questions",
    "checkpoint": "checkpoints are written",
}

#: Every metric by section: name, then "unit; definition".
SECTIONS: dict[str, dict[str, str]] = {
    "Samples, by role": _SAMPLES,
    "Drafts and their refinements": _DRAFTS,
    "Training groups": _GROUPS,
    "Update": _UPDATE,
    "Costs": _COSTS
    | {f"seconds/{phase}": f"seconds; so far: {text}" for phase, text in _PHASES.items()}
    | {f"step_seconds/{phase}": f"seconds; of the step: {text}" for phase, text in _PHASES.items()},
    "Dynamic sampling": _DYNAMIC,
    "Alarms": _ALARMS,
    "Generative judge": JUDGE,
    "Evaluation": {f"SPLIT/{name}": text for name, text in EVALUATION_METRIC_DOCS.items()},
}

#: Every metric of a training step.
STEP_METRICS: dict[str, str] = {
    name: text for title, metrics in SECTIONS.items() if title != "Evaluation" for name, text in metrics.items()
}


def as_markdown() -> str:
    """Return all definitions as a page in Markdown."""
    page = ["# Metrics", "", "Generated by `python -m igrpo.metrics.definitions > docs/metrics.md`.", ""]
    page += ["A metric without a value in a step, such as a share with an empty denominator, is left out of that step."]
    for title, metrics in SECTIONS.items():
        page += ["", f"## {title}", "", "| metric | unit | definition |", "|---|---|---|"]
        for name, text in metrics.items():
            unit, _, definition = text.replace("|", "\\|").partition("; ")
            page.append(f"| `{name}` | {unit} | {definition} |")
    return "\n".join(page)


if __name__ == "__main__":
    print(as_markdown())
