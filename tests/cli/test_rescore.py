"""`igrpo rescore`: stored rollouts before another reward, and the numbers of their comparison."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

from igrpo.assembly import build_reward
from igrpo.cli.main import main
from igrpo.config import config_values
from igrpo.runs.rollout_lines import rollout_line
from igrpo.runs.rollout_log import RolloutLog
from igrpo.runs.run_directory import RunDirectory
from igrpo.tools.rescore import ScorePair, compare, disagreements
from igrpo.types import ANSWER_ROLES, Question, Rollout, Sample, Score
from tests.algorithms import fakes
from tests.algorithms.fakes import ScriptedEngine, context
from tests.assembly.parts import completion
from tests.composed import config
from tests.rewards.judge.server import JudgeServer, in_turn, score
from tests.rollouts import RIGHT, WRONG, rollout, samples, values


def drafts(texts: Sequence[str], scores: Sequence[Score | None]) -> tuple[Sample, ...]:
    return samples("draft", [completion(text) for text in texts], scores)


def refined(
    texts: Sequence[str], scores: Sequence[Score], shown: Sequence[Sample], number: int = 2
) -> tuple[Sample, ...]:
    return samples("refinement", [completion(text) for text in texts], scores, number=number, shows=shown)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three steps of one question each: right drafts first in step 1, an unscored one in step 2, none shown in step 3."""
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    directory.save_config(config_values(config()))
    log = RolloutLog(directory.rollouts, steps_per_file=2)
    question = Question("q", "2 + 2", "4")
    first, second = drafts(["4", "5"], [RIGHT, WRONG]), drafts(["5", "4.0", "4"], [RIGHT, WRONG, None])
    steps = [
        (first, refined(["4", "6"], [RIGHT, WRONG], first[:1])),
        (second, refined(["7"], [WRONG], second[:1])),
        (drafts(["9", "8"], [WRONG, WRONG]),),
    ]
    for number, rounds in enumerate(steps, 1):
        log.append(number, [rollout_line(number, rollout(*rounds, question=question))])
    monkeypatch.chdir(tmp_path)
    return directory.path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["rescore", *arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def report(run_dir: Path) -> dict[str, object]:
    (path,) = run_dir.glob("rescore-*.json")
    found: dict[str, object] = json.loads(path.read_text())
    return found


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


LAST_LINE = ("reward=math_verify", "reward.answer_format=[last_line]")


def test_the_rollouts_are_scored_again_and_stay_as_they_are(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digest(run_dir / "rollouts")
    code, text = said(capsys, str(run_dir), *LAST_LINE)
    assert code == 0, text
    assert digest(run_dir / "rollouts") == before
    found = report(run_dir)
    # new: step 1: 4 right, 5 wrong | 4, 6;  step 2: 5 wrong, 4.0 right, 4 right (unscored before) | 7;  step 3: both wrong
    expected = {
        "completions": 10, "unscored_old": 1, "unscored_new": 0, "verdicts": 9, "agreement": 7 / 9,
        "both_right": 2, "only_old_right": 1, "only_new_right": 1, "neither_right": 5,
        "mean_old": 3 / 9, "mean_new": 3 / 9,
        # only step 1 has a round that was chosen from, with all drafts scored by both: 4 stays the best
        "drafted_rounds": 1, "other_best": 0.0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    # both 0 or 1 with 3 ones of 9: (2/9 - 1/9) / (1/3 * 2/3)
    assert found["correlation"] == pytest.approx(0.5)
    assert [entry["text_end"] for entry in found["disagreements"]] == ["5", "4.0"]  # type: ignore[attr-defined]
    assert "same verdict   77.8% of 9" in text
    assert "another best draft   0.0% of 1" in text


def sampled_run(path: Path, *settings: str) -> list[Rollout]:
    """Three steps of four questions by the algorithm of the settings, scored by their reward, as a run keeps them."""

    def say(prompt: tuple[int, ...], seed: int) -> str:
        word = random.Random(seed).choice(["4", "5", "6", "none"])
        return rf"\boxed{{{'Yes' if seed % 2 else 'No'}}}" if prompt[0] == -3 else rf"\boxed{{{word}}}"

    made = config(None, *settings)
    directory = RunDirectory(path)
    directory.create()
    directory.save_config(config_values(made))
    log, algorithm, reward = RolloutLog(directory.rollouts), made.algorithm, build_reward(made.reward, None)
    state = algorithm.new_state()
    rollouts: list[Rollout] = []
    for step in (1, 2, 3):
        given = context(ScriptedEngine(say), made.completions_per_question, reward=reward, step=step, state=state)
        own = [fakes.run(algorithm, given, Question(f"q{i}", f"{i}", "4")) for i in range(4)]
        if state is not None:
            state.update_state([state.extract_state(one) for one in own])
        log.append(step, [rollout_line(step, one) for one in own])
        rollouts += own
    reward.close()
    return rollouts


@pytest.mark.parametrize(
    ("settings", "chosen_from"),
    [
        (("algorithm=grpo",), 0),
        (("algorithm=igrpo",), 12),
        (("algorithm=igrpo", "algorithm.drafts=4", "algorithm.rounds=2"), 24),
        (("algorithm=igrpo", "algorithm.selection=random"), 0),  # what chance chose, no reward chooses otherwise
        (("condition=critique_grpo", "algorithm.answers=2"), 0),
        (("condition=self_verification",), 0),
    ],
)
def test_a_run_before_its_own_reward_agrees_with_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: tuple[str, ...], chosen_from: int
) -> None:
    rollouts = sampled_run(tmp_path / "run", *settings)
    answers = [sample for one in rollouts for sample in one.of(*ANSWER_ROLES)]
    judged = [sample for one in rollouts for sample in one.of("critique", "verification")]
    assert bool(judged) == any(name in settings[0] for name in ("critique", "verification"))
    code, text = said(capsys, str(tmp_path / "run"), "reward=math_verify")
    assert code == 0, text
    found = report(tmp_path / "run")
    found_values = values(answers)
    assert 0 < fmean(found_values) < 1
    expected = {
        "completions": len(found_values), "unscored_old": 0, "unscored_new": 0, "agreement": 1.0, "correlation": 1.0,
        "mean_old": fmean(found_values), "mean_new": fmean(found_values), "drafted_rounds": chosen_from,
        "other_best": 0.0 if chosen_from else None,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_drafts_are_the_round_of_what_a_prompt_shows(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two rounds of refinements that were both shown a first draft: the first of them is no round of drafts."""
    first = drafts(["4.0", "4"], [RIGHT, WRONG])
    later = [refined(["4", "6"], [RIGHT, WRONG], first[:1], number) for number in (2, 3)]
    line = rollout_line(4, rollout(first, *later, question=Question("q", "2 + 2", "4")))
    RolloutLog(run_dir / "rollouts", steps_per_file=2).append(4, [line])
    assert said(capsys, str(run_dir), *LAST_LINE, "--steps", "4:4")[0] == 0
    found = report(run_dir)
    assert (found["drafted_rounds"], found["other_best"]) == (1, 0.0)


def test_steps_choose_a_part_and_have_a_file_of_their_own(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, str(run_dir), *LAST_LINE, "--steps", "2:2")[0] == 0
    assert (report(run_dir)["steps"], report(run_dir)["completions"]) == ([2], 4)
    assert said(capsys, str(run_dir), "--steps", "2:", *LAST_LINE)[0] == 0
    assert said(capsys, str(run_dir), *LAST_LINE, "--steps", "2:2")[0] == 0
    assert len(list(run_dir.glob("rescore-*.json"))) == 2, "the same question has the same file"


def test_a_judge_and_its_limit(run_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with JudgeServer(in_turn(score(0.75))) as server:
        judge = ("reward=judge", f"reward.base_url={server.url}", "reward.model=m", f"reward.cache={tmp_path}/c.sqlite",
                 "reward.input_price=1000", "reward.concurrency=1")  # fmt: skip
        code, text = said(capsys, str(run_dir), *judge, "reward.max_cost=0.15")
        assert code == 75
        assert "paused: reward.max_cost=0.15 is spent" in text
        assert len(server.requests) == 2
        code, text = said(capsys, str(run_dir), *judge)
        assert code == 0, text
        assert len(server.requests) == 7, "seven different texts, of which two were paid for before"
    assert report(run_dir)["mean_new"] == 0.75
    assert report(run_dir)["correlation"] is None, "of a constant"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: RUN_DIR"),
        (["RUN"], "give the other reward, such as reward=judge"),
        (["RUN", "reward.percent=any"], "give the other reward"),
        (["RUN", "reward=math_verify", "trainer.steps=2"], "trainer.steps=2: only settings of the reward are allowed here"),
        (["RUN", "reward=nothing"], "reward=nothing"),
        (["RUN", "reward=format"], "tells no right answer from a wrong one"),
        (["RUN", "reward=math_verify", "--steps", "3"], "--steps 3: give two numbers"),
        (["RUN", "reward=math_verify", "--steps", "3:2"], "--steps 3:2: the last step comes before the first"),
        (["RUN", "reward=math_verify", "--steps", "8:"], "keeps no rollouts of the steps 8 to"),
        (["RUN", "reward=math_verify", "--stesp=1:2"], "did you mean '--steps'"),
        (["nowhere", "reward=math_verify"], "is its folder a run directory?"),
        (["RUN", "reward=judge", "reward.base_url=http://127.0.0.1:9/v1", "reward.model=m", "reward.retries=0", "reward.cache=null"],
         "reward.base_url=http://127.0.0.1:9/v1: the judge gave no answer"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told(
    run_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, text = said(capsys, *(text.replace("RUN", str(run_dir)) for text in arguments))
    assert code == 2
    assert words in text
    assert list(run_dir.glob("rescore-*")) == []


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "--help")
    assert code == 0
    assert "igrpo rescore RUN_DIR reward=judge" in text


def pair(number: int, old: Score | None, new: Score | None, *, is_draft: bool = True) -> ScorePair:
    return ScorePair(1, f"q{number}", 0, 0, is_draft, "text", old, new)


def test_another_best_draft_means_that_no_best_one_is_shared() -> None:
    half = Score(0.5, None, "wrong")
    tied = [pair(1, RIGHT, half), pair(1, RIGHT, RIGHT)]  # best of both: the second
    changed = [pair(2, RIGHT, WRONG), pair(2, WRONG, half)]
    partly = [pair(3, RIGHT, None), pair(3, WRONG, RIGHT)]  # not all are known
    late = [pair(4, RIGHT, WRONG, is_draft=False), pair(4, WRONG, RIGHT, is_draft=False)]  # nobody chose among them
    found = compare([*tied, *changed, *partly, *late])
    assert (found.drafted_rounds, found.other_best) == (2, 0.5)
    # verdicts: (1, 1), (1, 0), (0, 1) of partly, and the two of late
    assert (found.verdicts, found.both_right, found.only_old_right, found.only_new_right) == (5, 1, 2, 2)
    assert len(disagreements(tied + changed + partly + late)) == 4


def test_nothing_to_compare_is_no_number() -> None:
    found = compare([pair(1, None, RIGHT), pair(2, RIGHT, None)])
    assert (found.mean_old, found.mean_new, found.agreement, found.correlation, found.other_best) == (None,) * 5
    assert (found.unscored_old, found.unscored_new) == (1, 1)
