"""`igrpo chat`: whose answers it gives, how it votes, and how it ends."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from igrpo.assembly import build_prompts
from igrpo.cli.main import main
from igrpo.generation.base import SamplingParams
from igrpo.models.byte_level import ByteLevelShape, make_byte_level_model
from igrpo.tools.chat import Chat, ChatModel, ChatOptions, ChatResult, model_of_directory, model_of_run
from igrpo.tools.export import export
from igrpo.tools.trained import load_trained
from igrpo.types import Completion, Question
from tests.algorithms.fakes import ScriptedEngine, completion
from tests.trained_runs import BYTE_LEVEL, BYTES, trained_run, written_run

PROBLEM = "6 -7 *8"
PLAIN = ChatOptions(refine=False, drafts=None, temperature=None, max_tokens=None, seed=None)


def options(**changes: Any) -> ChatOptions:
    return ChatOptions(**({name: getattr(PLAIN, name) for name in PLAIN.__slots__} | changes))


def ask(model: ChatModel, wanted: ChatOptions, problem: str = PROBLEM) -> ChatResult:
    chat = Chat(model, wanted)
    try:
        return asyncio.run(chat.ask(problem))
    finally:
        chat.close()


@pytest.fixture(scope="module")
def byte_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a byte-level model, whose answers are noise of 6 tokens."""
    folder = tmp_path_factory.mktemp("chat") / "run"
    changes = BYTES | {"sampling.max_completion_tokens": 6, "prompt.max_question_tokens": 40}
    written_run(folder, *BYTE_LEVEL, changes=changes)
    return folder


def greedy(policy: Any, ids: tuple[int, ...], tokens: int) -> list[int]:
    """transformers' own greedy decoding, up to the stop token."""
    with torch.no_grad():
        rows = policy.model.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=tokens, eos_token_id=list(policy.stop_token_ids),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        )  # fmt: skip
    found: list[int] = rows[0][len(ids) :].tolist()
    return found


@pytest.mark.slow
def test_greedy_answers_are_those_of_transformers() -> None:
    run_dir = trained_run()
    trained = load_trained(run_dir, "last", Console(quiet=True))
    prompts = build_prompts(trained.config.prompt, trained.policy.tokenizer)
    question = Question("q", PROBLEM, "")
    model = model_of_run(run_dir, "last")
    reply = ask(model, options(temperature=0.0))
    assert list(reply.completion.token_ids) == greedy(trained.policy, prompts.question_prompt(question).token_ids, 8)
    refined = ask(model, options(temperature=0.0, refine=True, drafts=3))
    assert refined.vote is not None
    assert len({draft.token_ids for draft in refined.drafts}) > 1, "drafts are sampled, also with --greedy"
    shown = prompts.refinement_prompt(question, [refined.drafts[refined.vote.pick]])
    assert list(refined.completion.token_ids) == greedy(trained.policy, shown.token_ids, 8)


@pytest.mark.slow
def test_a_run_and_its_export_answer_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = trained_run()
    model = export(run_dir, checkpoint="1", out=tmp_path / "m", adapters=False, dtype=None)
    capsys.readouterr()
    outputs = []
    for target in ([str(run_dir), "--checkpoint", "1"], [str(model)]):
        assert main(["chat", *target, PROBLEM, "--refine", "--drafts", "4"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("draft 1: ")
    assert "refined: draft " in outputs[0]


@pytest.mark.slow
def test_a_question_that_cannot_be_encoded_gets_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = str(trained_run())
    assert main(["chat", run_dir, "What is 6 *7?"]) == 0
    shown = capsys.readouterr()
    assert "cannot encode 'W' (character 0" in shown.err
    assert shown.out
    assert main(["chat", run_dir, PROBLEM]) == 0
    assert "does not see" not in capsys.readouterr().err


def test_the_seed_decides(byte_run: Path) -> None:
    model = model_of_run(byte_run, "last")
    first, again, other = (ask(model, options(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first.completion.token_ids != other.completion.token_ids
    assert ask(model, PLAIN) == ask(model, options(seed=model.seed))


def scripted(monkeypatch: pytest.MonkeyPatch, answer: Callable[[tuple[int, ...], int], str]) -> ScriptedEngine:
    engine = ScriptedEngine(answer)
    monkeypatch.setattr("igrpo.tools.chat.LocalEngine", lambda *args, **kwargs: engine)
    return engine


def test_the_most_frequent_answer_is_refined(byte_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Two drafts say one half in two ways, one says 3, one nothing: a half wins, by the verifier's equivalence."""
    texts = iter(
        [r"so \boxed{3}", r"so \boxed{1/2}", "no idea? ...", r"hence \boxed{0.5}", r"\boxed{\frac{1}{2}} it is"]
    )
    engine = scripted(monkeypatch, lambda prompt, seed: next(texts))
    model = model_of_run(byte_run, "last")
    chat = Chat(model, options(refine=True, drafts=4))
    reply = asyncio.run(chat.ask("What is half of one?"))
    chat.close()
    assert reply.draft_answers[:2] == ("3", "1/2")
    assert reply.vote is not None
    assert reply.vote.ballots[0] == (1, 3)
    assert reply.vote.pick in {1, 3}
    assert (reply.completion.text, reply.answer) == (r"\boxed{\frac{1}{2}} it is", r"\frac{1}{2}")
    (first, draft_seeds), (second, last_seeds) = engine.calls
    prompts = build_prompts(model.prompt, model.policy.tokenizer)
    question = Question("q", "What is half of one?", "")
    assert first == prompts.question_prompt(question).token_ids
    assert second == prompts.refinement_prompt(question, [reply.drafts[reply.vote.pick]]).token_ids
    assert len({*draft_seeds, *last_seeds}) == 5


def test_an_answer_that_is_too_long_has_no_vote(byte_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = iter([r"\boxed{" + "9" * 100_000 + "}", r"\boxed{4}", r"\boxed{4}"])
    scripted(monkeypatch, lambda prompt, seed: next(texts))
    reply = ask(model_of_run(byte_run, "last"), options(refine=True, drafts=2))
    assert reply.draft_answers == (None, "4")


class Recording(ScriptedEngine):
    """Remembers how it was asked to sample."""

    async def sample(self, prompt_ids: Any, params: SamplingParams, seeds: Any) -> tuple[Completion, ...]:
        self.params = [*vars(self).get("params", []), params]
        return tuple(completion("x") for _ in seeds)


def test_how_it_samples(byte_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of_run(byte_run, "last")
    asked: dict[str, list[tuple[float, int]]] = {}
    for name, wanted in {
        "run's own": PLAIN,
        "warm": options(temperature=0.5, max_tokens=3),
        "greedy": options(temperature=0.0, refine=True, drafts=2),
    }.items():
        engine = Recording(lambda prompt, seed: "")
        monkeypatch.setattr("igrpo.tools.chat.LocalEngine", lambda *args, engine=engine, **kwargs: engine)
        ask(model, wanted)
        asked[name] = [(params.temperature, params.max_new_tokens) for params in engine.params]
    assert asked == {"run's own": [(1.0, 6)], "warm": [(0.5, 3)], "greedy": [(1.0, 6), (0.0, 6)]}


def test_a_model_that_igrpo_has_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_byte_level_model(tmp_path / "m", ByteLevelShape(hidden=16, layers=1, heads=2, mlp=16), 0, chat_template=True)
    model = model_of_directory(tmp_path / "m", None, 9)
    assert (model.prompt.name, model.sampling.max_completion_tokens) == ("boxed", 9)
    assert model_of_directory(tmp_path / "m", "think_answer", 9).prompt.name == "think_answer"
    assert main(["chat", str(tmp_path / "m"), "1 + 1?", "--max-tokens", "5"]) == 0
    assert "answer: " in capsys.readouterr().out
    assert main(["chat", str(tmp_path / "m"), "1 + 1?", "--prompt", "bocksed"]) == 2
    assert "boxed" in capsys.readouterr().err


def feed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_questions_from_the_standard_input(
    byte_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, ...]] = []
    scripted(monkeypatch, lambda prompt, seed: f"\x1b[2J\\boxed{{{len(seen)}}}" if seen.append(prompt) is None else "")
    feed(monkeypatch, f"one?\n\n  {'x' * 100}\ntwo?\n")
    assert main(["chat", str(byte_run)]) == 0
    output = capsys.readouterr()
    assert len(seen) == 2
    assert "\x1b" not in output.out
    assert [line for line in output.out.splitlines() if line.startswith("answer")] == ["answer: 1", "answer: 2"]
    assert "more than prompt.max_question_tokens=40" in output.err  # and the next question is asked all the same


def test_the_end_of_the_input_and_ctrl_c_end_it_well(
    byte_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, "")
    assert main(["chat", str(byte_run)]) == 0

    def interrupt(*args: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    assert main(["chat", str(byte_run)]) == 0
    assert "Traceback" not in capsys.readouterr().err
    scripted(monkeypatch, interrupt)
    assert main(["chat", str(byte_run), "one?"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_wrong_usage(byte_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "adapter_config.json").write_text("{}")
    model = export(byte_run, checkpoint="last", out=tmp_path / "m", adapters=False, dtype=None)
    run_dir = str(byte_run)
    cases = {
        (): "the following arguments are required: RUN_DIR|MODEL_DIR",
        (str(byte_run.with_name("rin")), "x"): f"rin is no run directory; did you mean '{byte_run}'?",
        (run_dir, "how", "many"): "'many': one argument too many",
        (run_dir, "--refin", "x"): "--refin: no such option; did you mean '--refine'?",
        (run_dir, "-x+4"): "put -- before a text that starts with '-'",
        (run_dir, " "): "the question is empty",
        (run_dir, "x" * 50): "more than prompt.max_question_tokens=40",
        (run_dir, "x", "--drafts", "3"): "--drafts 3 is for --refine: add it",
        (run_dir, "x", "--drafts", "0", "--refine"): "--drafts: give a whole number",
        (run_dir, "x", "--seed", "-1"): "--seed: give a whole number",
        (run_dir, "x", "--temperature", "-1"): "--temperature: give a number",
        (run_dir, "x", "--temperature", "hot"): "--temperature: give a number",
        (run_dir, "x", "--temperature", "1", "--greedy"): "not allowed with argument",
        (run_dir, "x", "--checkpoint", "lasst"): "keeps no such one; did you mean 'last'?",
        (run_dir, "x", "--prompt", "boxed"): "--prompt boxed: a run has its own prompts",
        (str(model), "x", "--prompt", "boxed"): "has the prompts that it was trained on; leave it out",
        (str(model), "x", "--checkpoint", "best"): "is a model, not a run",
        (str(tmp_path / "adapters"), "x"): "contains only adapters",
    }
    for arguments, said in cases.items():
        assert main(["chat", *arguments]) == 2, arguments
        assert said in capsys.readouterr().err, arguments


def test_refining_with_a_model_that_had_no_drafts(tmp_path: Path) -> None:
    written_run(tmp_path, *BYTE_LEVEL, "algorithm=grpo", changes=BYTES)
    with pytest.raises(ValueError, match=r"--refine: .* trained without drafts"):
        Chat(model_of_run(tmp_path, "last"), options(refine=True))


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--help"]) == 0
    assert "--refine" in capsys.readouterr().out
