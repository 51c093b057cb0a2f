"""Prompts that open ``<think>`` for the model: what rewards, readers and later prompts see begins with it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from igrpo.algorithms.base import Algorithm
from igrpo.algorithms.self_verification import AnswerBuffer
from igrpo.evaluation.evaluator import Evaluator
from igrpo.generation.base import SamplingParams
from igrpo.generation.completions import CompletionMaker
from igrpo.metrics.trained import DIFFERS, trained_role_metrics
from igrpo.prompts.builder import PromptBuilder
from igrpo.rewards.format import FormatReward
from igrpo.runs.rollout_lines import rollout_line
from igrpo.tools.chat import Chat, ChatOptions, model_of_run
from igrpo.tools.doctor.live_checks import live_checks
from igrpo.tools.doctor.shape import shape_of
from igrpo.types import Completion, Question, Rollout, Score
from tests.algorithms.fakes import context, critique_grpo, grpo, igrpo, run, self_verification
from tests.assembly.parts import write_model, write_problems
from tests.composed import config as composed
from tests.fake_engine import FakeEngine
from tests.prompts.test_prompts import builder, byte_tokenizer, sampled
from tests.rollouts import values
from tests.trained_runs import BYTE_LEVEL, BYTES, written_run

#: The ends of real chat templates: DeepSeek-R1-Distill's; Qwen3's with and without thinking; one that begins to think;
#: DeepSeek-V3.1's without thinking.
TURNS = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
OPENS = TURNS + "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
BEGINS = TURNS + "<|Assistant|>\n<think>\nOkay, "
CLOSED = TURNS + "{% if add_generation_prompt %}<|Assistant|>\n<think>\n\n</think>\n\n{% endif %}"
SHUT = TURNS + "{% if add_generation_prompt %}<|Assistant|></think>{% endif %}"
NOTHING = TURNS + "{% if add_generation_prompt %}<|Assistant|>\n{% endif %}"

QUESTION = Question("q", "1+1?", "2")
THOUGHT = "It is two.</think>\n<answer>\\boxed{2}</answer>"
PARAMS = SamplingParams(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=99, stop_token_ids=(1,))


@dataclass
class WritingEngine(FakeEngine):
    """An engine that writes ``text``, decoded as the real engines do."""

    tokenizer: Any
    text: str = THOUGHT
    prompts: list[str] = field(default_factory=list)

    async def sample(self, prompt_ids: Any, params: Any, seeds: Any) -> tuple[Completion, ...]:
        self.prompts.append(self.tokenizer.decode(list(prompt_ids)))
        ids = (*self.tokenizer.encode(self.text, add_special_tokens=False), 1)
        zeros = (0.0,) * len(ids)
        maker = CompletionMaker(self.tokenizer)
        one = maker.make(ids, (1,), zeros, sampling_entropies=zeros, policy_entropies=zeros, version=0)
        return (one,) * len(seeds)


@dataclass
class Seeing(FormatReward):
    """The format reward, with a verdict; remembers what it saw."""

    seen: list[Completion] = field(default_factory=list)

    async def score(self, question: Question, completions: Any) -> list[Score]:
        self.seen += completions
        return [replace(score, correct=score.value == 1) for score in await super().score(question, completions)]


@pytest.mark.parametrize(
    ("template", "opened"),
    [
        (OPENS, "<think>\n"),
        (OPENS.replace("\n", ""), "<think>"),
        (BEGINS, "<think>\nOkay, "),
        (CLOSED, ""),
        (SHUT, ""),
        (NOTHING, ""),
    ],
)
@pytest.mark.parametrize("ending", ["", "\nThink after <think>, then answer.", "\nUse <think>...</think>."])
def test_what_a_chat_template_opens(template: str, opened: str, ending: str) -> None:
    tokenizer = byte_tokenizer(template)
    prompts = builder(
        tokenizer, system="Write <think> first.", question="{problem}" + ending, refinement="{problem}{draft}" + ending
    )
    draft = sampled(tokenizer, "<think> no end")  # what a draft writes opens nothing
    for prompt in (prompts.question_prompt(QUESTION), prompts.refinement_prompt(QUESTION, [draft])):
        assert prompt.opened == opened
        assert tokenizer.decode(prompt.token_ids).endswith(opened)


@pytest.mark.parametrize(
    ("ending", "opened"),
    [
        ("\nSolution: <think>\n", "<think>\n"),
        ("\n<think>\nWell", "<think>\nWell"),
        ("\nUse <think> tags.\nSolution:", ""),
        ("\n<think>\n</think>\n", ""),
    ],
)
def test_what_a_plain_layout_opens(ending: str, opened: str) -> None:
    prompts = builder(byte_tokenizer(), question="{problem}" + ending)
    assert prompts.question_prompt(QUESTION).opened == opened
    assert prompts.refinement_prompt(QUESTION, [sampled(byte_tokenizer(), "1")]).opened == ""


def opening(draft_thinking: str = "keep", **changes: Any) -> tuple[WritingEngine, PromptBuilder]:
    tokenizer = byte_tokenizer(OPENS)
    return WritingEngine(tokenizer), builder(tokenizer, draft_thinking=draft_thinking, max_draft_tokens=99, **changes)


#: With its budget.
ALGORITHMS: dict[str, tuple[Algorithm, int]] = {
    "grpo": (grpo(2), 2),
    "igrpo": (igrpo(2), 4),
    "critique_grpo": (critique_grpo(2, kept=1), 4),
    "self_verification": (self_verification(2, 4, balanced=False), 3),
}


def rolled_out(name: str, engine: WritingEngine, prompts: PromptBuilder, reward: Any, state: Any = None) -> Rollout:
    algorithm, total = ALGORITHMS[name]
    return run(algorithm, context(engine, total, reward=reward, prompts=prompts, step=1, state=state), QUESTION)


@pytest.mark.parametrize("name", ["grpo", "igrpo"])
def test_the_format_reward_is_earned_behind_opened_thinking(name: str) -> None:
    engine, prompts = opening()
    reward = Seeing()
    rollout = rolled_out(name, engine, prompts, reward)
    sampled_ids = (*engine.tokenizer.encode(THOUGHT, add_special_tokens=False), 1)
    roles = {"grpo": ["answer"] * 2, "igrpo": ["draft"] * 2 + ["refinement"] * 2}[name]
    assert [sample.role for sample in rollout.samples] == roles
    assert set(values(rollout.samples)) == {1.0}
    for completion in (sample.completion for sample in rollout.samples):
        assert completion.text == "<think>\n" + THOUGHT
        assert completion.token_ids == sampled_ids
        assert len(completion.logprobs) == len(sampled_ids)
    assert {completion.text for completion in reward.seen} == {"<think>\n" + THOUGHT}
    stored = [one["text"] for one in rollout_line(1, rollout)["samples"]]
    assert set(stored) == {"<think>\n" + THOUGHT}


@pytest.mark.parametrize(
    ("text", "thinking", "shown"),
    [
        (THOUGHT, "keep", "<think>\n" + THOUGHT),
        (THOUGHT, "strip", "<answer>\\boxed{2}</answer>"),
        ("It never ends", "strip", "<think>\nIt never ends"),  # all of it, as where the model opens it
    ],
)
def test_a_draft_is_shown_with_or_without_what_was_opened(text: str, thinking: str, shown: str) -> None:
    engine, prompts = opening(thinking)
    engine.text = text
    rolled_out("igrpo", engine, prompts, Seeing())
    assert f"\nDraft: {shown}\nBetter:" in engine.prompts[1]


def test_what_was_opened_stands_beside_the_budget_of_a_draft() -> None:
    tokenizer = byte_tokenizer(OPENS)
    prompts = builder(tokenizer, max_draft_tokens=16, max_question_tokens=4)
    full = replace(sampled(tokenizer, "x" * 16), text="<think>\n" + "x" * 16, opened="<think>\n")
    prompt = prompts.refinement_prompt(QUESTION, [full, full])
    assert prompt.draft_tokens_cut == 0
    assert len(prompt.token_ids) == prompts.max_prompt_tokens(drafts=2)
    revision = prompts.revision_prompt(QUESTION, full, full)
    assert len(revision.token_ids) == prompts.max_prompt_tokens(drafts=0, layouts=("revision",))


def test_critiques_show_answers_as_they_were_opened() -> None:
    engine, prompts = opening()
    engine.text = "No idea"
    rolled_out("critique_grpo", engine, prompts, Seeing())
    _, critique, revision = engine.prompts
    assert "Draft: <think>\nNo idea\nCritique:" in critique
    assert "Draft: <think>\nNo idea\nCritique: <think>\nNo idea\nBetter:" in revision


def test_a_verified_answer_keeps_its_opened_thinking() -> None:
    engine, prompts = opening()
    engine.text = "Surely \\boxed{Yes}"  # in thinking that never ends
    state, resumed = AnswerBuffer(4), AnswerBuffer(4)
    state.update_state([state.extract_state(rolled_out("self_verification", engine, prompts, Seeing(), state))])
    resumed.load_state_dict(json.loads(json.dumps(state.state_dict())))
    assert resumed.pairs == state.pairs

    def outcome() -> str | None:
        (sample,) = rolled_out("self_verification", engine, prompts, Seeing(), resumed).of("verification")
        return None if sample.score is None else sample.score.outcome

    assert outcome() == "unparsable"
    assert "Answer: <think>\nSurely \\boxed{Yes}\nRight?" in engine.prompts[-1]
    engine.text = "Let me see.</think> \\boxed{No}"
    assert outcome() == "right"
    # a checkpoint of before has no such field
    old = [{name: value for name, value in pair.items() if name != "opened"} for pair in resumed.state_dict()["pairs"]]
    resumed.load_state_dict({"pairs": old})
    assert resumed.pairs[0].opened == ""


def test_alarms_see_the_thinking_that_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, prompts = opening()
    rollout = rolled_out("grpo", engine, prompts, Seeing())
    seen: list[str] = []
    monkeypatch.setattr("igrpo.metrics.trained.answer_differs", lambda text: bool(seen.append(text)))
    assert trained_role_metrics([rollout])[DIFFERS] == 0
    assert seen == ["<think>\n" + THOUGHT] * 2


def test_evaluations_see_it_in_every_part() -> None:
    engine, prompts = opening()
    reward = Seeing()
    evaluator = Evaluator(
        engine, reward, prompts, [QUESTION], sampling=PARAMS, samples=2, greedy=True, draft_conditioned=True,
        oracle_drafts=2, seed=0,
    )  # fmt: skip
    result = asyncio.run(evaluator.run())
    parts = (result.single_shot, result.greedy, result.draft_conditioned, result.draft_conditioned_oracle)
    assert [part.value for part in parts if part is not None] == [1.0] * 4
    assert {completion.text for completion in reward.seen} == {"<think>\n" + THOUGHT}
    assert result.length_mean == len(THOUGHT) + 1


def test_chat_reads_and_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_run(tmp_path / "run", *BYTE_LEVEL, changes=BYTES)
    speaker = model_of_run(tmp_path / "run", "last")
    speaker.policy.tokenizer.chat_template = OPENS
    engine = WritingEngine(speaker.policy.tokenizer)
    monkeypatch.setattr("igrpo.tools.chat.LocalEngine", lambda *args, **kwargs: engine)
    chat = Chat(speaker, ChatOptions(refine=True, drafts=2, temperature=None, max_tokens=None, seed=None))
    reply = asyncio.run(chat.ask("1+1?"))
    chat.close()
    assert {one.text for one in (*reply.drafts, reply.completion)} == {"<think>\n" + THOUGHT}
    assert reply.answer == "2"


def doctor(directory: Path, template: str, *settings: str) -> dict[str, Any]:
    (directory / "chat_template.jinja").unlink(missing_ok=True)
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    model = ("model=huggingface", f"model.name_or_path={directory}")
    sizes = {"sampling.max_completion_tokens": 8, "prompt.max_draft_tokens": 512}
    config = composed(sizes, *model, "prompt=think_answer", *settings)
    return {check.name: check for check in live_checks(config, shape_of(config.model), load=False)}


def test_doctor_tries_the_format_behind_the_models_own_template(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "m")
    data = ("data=jsonl", f"data.path={write_problems(tmp_path / 'problems.jsonl')}")
    checks = doctor(directory, OPENS, *data, "reward=math_verify_format")
    assert checks["prompt"].text.endswith(r"it opens '<think>\n' for the completion")
    assert checks["thinking"].state == "ok"
    assert "the format reward can be earned" in checks["thinking"].text
    assert "format" not in checks
    assert "format reward" not in doctor(directory, OPENS, *data)["thinking"].text  # the rule alone
    closed = doctor(directory, CLOSED, *data, "reward=math_verify_format")
    assert "opens no <think>" in closed["prompt"].text
    assert {"format", "thinking"} & set(closed) == set()
    failed = doctor(directory, OPENS.replace("<think>", "<think><answer>"), *data, "reward=math_verify_format")
    assert failed["format"].state == "failed"
    assert "the format reward cannot be earned" in failed["format"].text
