"""Prompts of both stages, with plain layouts and with chat templates of two styles."""

from __future__ import annotations

import logging
from datetime import date, datetime
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from igrpo.prompts.builder import PromptBuilder, PromptError, QuestionTooLongError
from igrpo.types import Completion, Question

# Drops what precedes </think> from every message, as templates of reasoning models do with earlier turns.
DROPS_THINKING = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'].split('</think>')[-1] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Trims contents and knows no system role.
TRIMS_NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "[INST] {{ m['content'] | trim }} [/INST]{% endfor %}"
)
IGNORES_SYSTEM = "{% for m in messages %}{% if m['role'] == 'user' %}<|user|>{{ m['content'] }}{% endif %}{% endfor %}"
TRUNCATES = "{% for m in messages %}{{ m['content'][:12] }}{% endfor %}"

QUESTION = Question("q", "What is {1}+\\frac{1}{2}?", "1.5")
DRAFT = "<think>one {plus} half</think> \\boxed{1.5}"


def byte_tokenizer(chat_template: str | None = None, *, bos: bool = False) -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<|end|>", "<s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if bos:
        from tokenizers.processors import TemplateProcessing

        tokenizer.add_special_tokens(["<s>"])
        tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=["<|end|>"],
        chat_template=chat_template,
    )


def builder(tokenizer: Any, **changes: Any) -> PromptBuilder:
    settings: dict[str, Any] = {
        "chat_template": "auto",
        "system": "",
        "question": "Problem: {problem}\nSolution:",
        "refinement": "Problem: {problem}\nDraft: {draft}\nBetter:",
        "critique": "Problem: {problem}\nDraft: {draft}\nCritique:",
        "revision": "Problem: {problem}\nDraft: {draft}\nCritique: {critique}\nBetter:",
        "verification": "Problem: {problem}\nAnswer: {draft}\nRight?",
        "verdict_right": "Yes",
        "verdict_wrong": "No",
        "draft_separator": "\nDraft: ",
        "cut_marker": "[cut]",
        "draft_thinking": "keep",
        "max_question_tokens": 64,
        "max_draft_tokens": 64,
    }
    return PromptBuilder(tokenizer, **(settings | changes))


def sampled(tokenizer: Any, text: str, ending: str = "<eos>") -> Completion:
    ids = tuple(tokenizer.encode(text + ending, add_special_tokens=False))
    zeros = (0.0,) * len(ids)
    return Completion(ids, text, zeros, zeros, zeros, "stop", 0)


# What Llama 3.1's template does with the clock.
ASKS_THE_DATE = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y, %H:%M') %}"
    "{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- endif %}"
    "Today Date: {{ date_string }}\n" + DROPS_THINKING
)


@pytest.mark.parametrize("system", ["", "Be careful."])
def test_a_template_with_a_date_gets_that_of_the_run(system: str) -> None:
    tokenizer = byte_tokenizer(ASKS_THE_DATE)
    prompts = builder(tokenizer, system=system, today=date(2001, 2, 3))
    draft = sampled(tokenizer, DRAFT)
    for prompt in (prompts.question_prompt(QUESTION), prompts.refinement_prompt(QUESTION, [draft])):
        assert tokenizer.decode(prompt.token_ids).startswith("Today Date: 03 Feb 2001, 00:00\n")
    again, tomorrow = (builder(tokenizer, system=system, today=date(2001, 2, day)) for day in (3, 4))
    assert again.layouts == prompts.layouts
    assert tomorrow.layouts != prompts.layouts


def test_without_a_run_the_date_is_that_of_today() -> None:
    tokenizer = byte_tokenizer(ASKS_THE_DATE)
    before = datetime.now()  # noqa: DTZ005 - the user's own day
    text = tokenizer.decode(builder(tokenizer).question_prompt(QUESTION).token_ids)
    days = {moment.strftime("%d %b %Y") for moment in (before, datetime.now())}  # noqa: DTZ005
    assert any(f"Today Date: {day}, 00:00" in text for day in days)


def test_plain_layouts_put_problem_and_draft_in_literally() -> None:
    tokenizer = byte_tokenizer()
    prompts = builder(tokenizer)
    assert tokenizer.decode(prompts.question_prompt(QUESTION).token_ids) == f"Problem: {QUESTION.problem}\nSolution:"
    prompt = prompts.refinement_prompt(QUESTION, [sampled(tokenizer, DRAFT)])
    assert tokenizer.decode(prompt.token_ids) == f"Problem: {QUESTION.problem}\nDraft: {DRAFT}\nBetter:"
    assert (prompt.draft_tokens, prompt.draft_tokens_cut) == (len(DRAFT), 0)


def test_without_a_draft_the_refiner_sees_the_bare_question() -> None:
    prompts = builder(byte_tokenizer())
    assert prompts.refinement_prompt(QUESTION, []) == prompts.question_prompt(QUESTION)


@pytest.mark.parametrize("template", [DROPS_THINKING, TRIMS_NO_SYSTEM])
def test_no_chat_template_changes_the_draft(template: str) -> None:
    tokenizer = byte_tokenizer(template)
    draft = f"  {DRAFT}\n"
    prompt = builder(tokenizer, system="Be careful.").refinement_prompt(QUESTION, [sampled(tokenizer, draft)])
    text = tokenizer.decode(prompt.token_ids)
    assert f"Draft: {draft}\nBetter:" in text
    assert "Be careful." in text
    assert QUESTION.problem in text


@pytest.mark.parametrize(
    ("template", "word"), [(TRIMS_NO_SYSTEM, "takes no system turn"), (IGNORES_SYSTEM, "drops the system turn")]
)
def test_a_refused_system_prompt_moves_with_a_log_message(
    template: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = byte_tokenizer(template)
    with caplog.at_level(logging.WARNING):
        prompts = builder(tokenizer, system="Be careful.")
    assert word in caplog.text
    assert "Be careful.\n\nProblem:" in tokenizer.decode(prompts.question_prompt(QUESTION).token_ids)


def test_a_template_that_loses_the_draft_is_an_error() -> None:
    with pytest.raises(PromptError, match=r"chat template .*prompt\.question"):
        builder(byte_tokenizer(TRUNCATES))


def test_chat_template_off_and_require() -> None:
    assert "<|user|>" not in byte_tokenizer().decode(
        builder(byte_tokenizer(DROPS_THINKING), chat_template="off").question_prompt(QUESTION).token_ids
    )
    with pytest.raises(PromptError, match=r"prompt\.chat_template=require"):
        builder(byte_tokenizer(), chat_template="require")


def test_plain_layouts_open_as_the_tokenizer_opens_a_text() -> None:
    tokenizer = byte_tokenizer(bos=True)
    ids = builder(tokenizer).question_prompt(QUESTION).token_ids
    assert ids[0] == tokenizer.convert_tokens_to_ids("<s>")
    written = builder(tokenizer, question="<s>Problem: {problem}").question_prompt(QUESTION).token_ids
    assert list(written).count(ids[0]) == 1


def test_thinking_can_be_stripped_from_the_shown_draft() -> None:
    tokenizer = byte_tokenizer()
    strip = builder(tokenizer, draft_thinking="strip")
    shown = tokenizer.decode(strip.refinement_prompt(QUESTION, [sampled(tokenizer, DRAFT)]).token_ids)
    assert "Draft: \\boxed{1.5}\nBetter:" in shown
    unfinished = "<think>no end"
    assert unfinished in tokenizer.decode(strip.refinement_prompt(QUESTION, [sampled(tokenizer, unfinished)]).token_ids)


@pytest.mark.parametrize(
    "thoughts", ["a</think>b</think>", "</think></think>", "<think>a</think> so <think>b</think>\n\n"]
)
def test_what_follows_the_last_thought_is_the_answer(thoughts: str) -> None:
    tokenizer = byte_tokenizer()
    strip = builder(tokenizer, draft_thinking="strip")
    shown = tokenizer.decode(
        strip.refinement_prompt(QUESTION, [sampled(tokenizer, f"{thoughts}\\boxed{{2}}")]).token_ids
    )
    assert "\nDraft: \\boxed{2}\nBetter:" in shown


@pytest.mark.parametrize("lengths", [(30, 2), (2, 30), (30, 30), (2, 40, 30), (16, 17), (16, 16)])
def test_what_is_cut_of_each_shown_draft_is_counted(lengths: tuple[int, ...]) -> None:
    """16 tokens less 5 of the marker leave 11 of a draft that is longer than 16."""
    tokenizer = byte_tokenizer()
    drafts = [sampled(tokenizer, "z" * length) for length in lengths]
    prompt = builder(tokenizer, max_draft_tokens=16).refinement_prompt(QUESTION, drafts)
    assert prompt.draft_tokens_cut == sum(length - 11 for length in lengths if length > 16)
    assert tokenizer.decode(prompt.token_ids).count("[cut]") == sum(length > 16 for length in lengths)


def test_a_long_draft_is_cut_in_the_middle_marked_and_counted() -> None:
    tokenizer = byte_tokenizer()
    prompts = builder(tokenizer, max_draft_tokens=16)
    prompt = prompts.refinement_prompt(QUESTION, [sampled(tokenizer, "abcdefghijklmnopqrstuvwxyz")])
    # 16 tokens less 5 of the marker leave 11: 6 of the head, 5 of the tail; 26 - 11 = 15 are gone
    assert "Draft: abcdef[cut]vwxyz\nBetter:" in tokenizer.decode(prompt.token_ids)
    assert (prompt.draft_tokens, prompt.draft_tokens_cut) == (11, 15)  # the marker is none of the draft's
    assert len(prompt.token_ids) <= prompts.max_prompt_tokens(drafts=1)
    exact = prompts.refinement_prompt(QUESTION, [sampled(tokenizer, "a" * 16)])
    assert (exact.draft_tokens, exact.draft_tokens_cut) == (16, 0)


def test_each_of_several_drafts_is_cut_to_the_budget() -> None:
    tokenizer = byte_tokenizer()
    prompts = builder(tokenizer, max_draft_tokens=16)
    long, short = sampled(tokenizer, "abcdefghijklmnopqrstuvwxyz"), sampled(tokenizer, "42")
    prompt = prompts.refinement_prompt(QUESTION, [long, short])
    assert "Draft: abcdef[cut]vwxyz\nDraft: 42\nBetter:" in tokenizer.decode(prompt.token_ids)
    # of the first draft 11 tokens are shown and 15 gone; neither its marker nor the separator is a draft's token
    assert (prompt.draft_tokens, prompt.draft_tokens_cut) == (11 + 2, 15)
    both_cut = prompts.refinement_prompt(QUESTION, [short, long, long])
    assert (both_cut.draft_tokens, both_cut.draft_tokens_cut) == (2 + 11 + 11, 15 + 15)
    longest = prompts.refinement_prompt(Question("q", "x" * 64, "1"), [long, long, long])
    assert len(longest.token_ids) == prompts.max_prompt_tokens(drafts=3)


def test_control_tokens_of_texts_never_reach_the_prompt() -> None:
    tokenizer = byte_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    prompts = builder(tokenizer)
    prompt = prompts.refinement_prompt(Question("q", "a<|end|>b", "1"), [sampled(tokenizer, "c<|end|>d")])
    assert end not in prompt.token_ids
    assert "ab" in tokenizer.decode(prompt.token_ids)
    assert "Draft: cd" in tokenizer.decode(prompt.token_ids)


def test_tokens_declared_special_are_control_tokens() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken("<|header|>", special=True)])
    header = tokenizer.convert_tokens_to_ids("<|header|>")
    assert header not in tokenizer.all_special_ids
    prompt = builder(tokenizer).refinement_prompt(
        Question("q", "a<|header|>b", "1"), [sampled(tokenizer, "c<|header|>d")]
    )
    assert header not in prompt.token_ids


def test_a_question_over_its_budget_is_an_error_that_names_it() -> None:
    prompts = builder(byte_tokenizer(), max_question_tokens=5)
    assert not prompts.fits(QUESTION)
    assert prompts.fits(Question("q", "12345", "1"))
    with pytest.raises(QuestionTooLongError, match=r"'q' has 24 tokens.*prompt\.max_question_tokens=5"):
        prompts.question_prompt(QUESTION)


def test_layouts_must_hold_their_marks_and_the_marker_must_fit() -> None:
    with pytest.raises(PromptError, match=r"prompt.refinement must hold \{draft\} at least once"):
        builder(byte_tokenizer(), refinement="{problem} again")
    with pytest.raises(PromptError, match=r"prompt\.max_draft_tokens=6 .*prompt\.cut_marker"):
        builder(byte_tokenizer(), max_draft_tokens=6)


def test_the_smallest_budget_shows_both_sides_of_the_marker() -> None:
    tokenizer = byte_tokenizer()
    prompts = builder(tokenizer, max_draft_tokens=7)  # the marker has 5
    text = tokenizer.decode(prompts.refinement_prompt(QUESTION, [sampled(tokenizer, "abcdefgh")]).token_ids)
    assert "Draft: a[cut]h\n" in text


def test_the_words_of_a_verification_are_those_of_the_settings() -> None:
    assert builder(byte_tokenizer()).verdicts == {"Yes": True, "No": False}
    assert builder(byte_tokenizer(), verdict_right="so", verdict_wrong="not").verdicts == {"so": True, "not": False}


def test_max_prompt_tokens_is_what_the_longest_prompt_takes() -> None:
    tokenizer = byte_tokenizer()
    prompts = builder(tokenizer, max_question_tokens=10, max_draft_tokens=20)
    question = Question("q", "x" * 10, "1")
    assert len(prompts.question_prompt(question).token_ids) == prompts.max_prompt_tokens(drafts=0)
    longest = prompts.refinement_prompt(question, [sampled(tokenizer, "y" * 50)])
    assert len(longest.token_ids) == prompts.max_prompt_tokens(drafts=1)


@pytest.mark.parametrize("template", [None, DROPS_THINKING, TRIMS_NO_SYSTEM])
def test_critiques_and_answers_are_spliced_in_as_tokens(template: str | None) -> None:
    tokenizer = byte_tokenizer(template)
    prompts, answer = builder(tokenizer), sampled(tokenizer, DRAFT)
    critique = sampled(tokenizer, "<think>{draft}</think> forgets the {1}", ending="<|end|><eos>")
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    asked = prompts.critique_prompt(QUESTION, answer)
    assert f"Problem: {QUESTION.problem}\nDraft: {DRAFT}\nCritique:" in tokenizer.decode(asked.token_ids)
    refined = prompts.revision_prompt(QUESTION, answer, critique)
    shown = f"Draft: {DRAFT}\nCritique: {critique.text}\nBetter:"  # whatever stands in it is text, not layout
    assert f"Problem: {QUESTION.problem}\n{shown}" in tokenizer.decode(refined.token_ids)
    assert (refined.draft_tokens, refined.critique_tokens) == (len(DRAFT), len(critique.text))
    assert refined.token_ids.count(end) == asked.token_ids.count(end)  # the critique's own is none of the layout's
    verified = prompts.verification_prompt(QUESTION, answer)
    assert f"Problem: {QUESTION.problem}\nAnswer: {DRAFT}\nRight?" in tokenizer.decode(verified.token_ids)
    for prompt in (asked, verified):
        assert (prompt.draft_tokens, prompt.critique_tokens) == (len(DRAFT), 0)


def test_the_longest_prompt_knows_critiques_and_verifications() -> None:
    tokenizer = byte_tokenizer()
    prompts, question = builder(tokenizer), Question("q", "x" * 64, "1")
    long = sampled(tokenizer, "y" * 100)
    made = {
        "critique": prompts.critique_prompt(question, long),
        "revision": prompts.revision_prompt(question, long, long),
        "verification": prompts.verification_prompt(question, long),
    }
    for layout, prompt in made.items():
        assert len(prompt.token_ids) == prompts.max_prompt_tokens(drafts=0, layouts=(layout,))
    assert made["revision"].draft_tokens_cut == 2 * made["critique"].draft_tokens_cut > 0
    for prompt in made.values():
        assert prompt.draft_tokens + prompt.draft_tokens_cut in {100, 2 * 100 - prompt.critique_tokens}
    both = prompts.max_prompt_tokens(drafts=0, layouts=("critique", "revision"))
    assert both == len(made["revision"].token_ids)


def test_layouts_need_their_marks_and_verdicts_must_be_writable() -> None:
    with pytest.raises(PromptError, match=r"prompt.revision must hold \{critique\} at least once"):
        builder(byte_tokenizer(), revision="{problem}{draft}")
    with pytest.raises(PromptError, match=r"prompt\.verification holds \{critique\}"):
        builder(byte_tokenizer(), verification="{problem}{draft}{critique}")
    from tests.training.small_run import TOKENIZER

    with pytest.raises(PromptError, match=r"prompt\.verdict_right cannot be encoded"):
        builder(
            TOKENIZER,
            chat_template="off",
            **dict.fromkeys(("question",), "{problem}"),
            **dict.fromkeys(("refinement", "critique", "verification"), "{problem}{draft}"),
            revision="{problem}{draft}{critique}",
            draft_separator=" ",
            cut_marker=" ",
        )


# The draft is the assistant's own turn, and the question is asked again.
CONVERSATION = [{"user": "{problem} = ?"}, {"assistant": "{draft}"}, {"user": "Again: {problem} = ?"}]
# What Qwen's and SmolLM2's templates do: a default system turn, every turn between marks.
MARKS_TURNS = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|system|>You help.<|end|>{% endif %}"
    "<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ENDS_OF_CONVERSATION = [MARKS_TURNS, MARKS_TURNS + "<think>"]


@pytest.mark.parametrize("template", ENDS_OF_CONVERSATION)
def test_a_conversation_shows_the_draft_as_the_models_own_turn(template: str) -> None:
    tokenizer = byte_tokenizer(template)
    prompts = builder(tokenizer, question="{problem} = ?", refinement=CONVERSATION)
    end = template.removeprefix(MARKS_TURNS)
    prompt = prompts.refinement_prompt(QUESTION, [sampled(tokenizer, DRAFT, ending="<|end|><eos>")])
    asked = f"{QUESTION.problem} = ?"
    assert tokenizer.decode(prompt.token_ids) == (
        f"<|system|>You help.<|end|><|user|>{asked}<|end|><|assistant|>{DRAFT}<|end|>"
        f"<|user|>Again: {asked}<|end|><|assistant|>{end}"
    )
    assert prompt.opened == end
    assert prompt.draft_tokens == len(DRAFT)


def test_a_conversation_begins_with_the_bare_question() -> None:
    """The engine's prefix cache then serves both stages, and the model reads its draft as it wrote it."""
    tokenizer = byte_tokenizer(MARKS_TURNS)
    prompts = builder(tokenizer, system="Be careful.", question="{problem} = ?", refinement=CONVERSATION)
    bare = prompts.question_prompt(QUESTION).token_ids
    draft = sampled(tokenizer, DRAFT)
    shown = prompts.refinement_prompt(QUESTION, [draft]).token_ids
    written = tuple(tokenizer.encode(DRAFT, add_special_tokens=False))
    assert shown[: len(bare) + len(written)] == bare + written


@pytest.mark.parametrize(
    "last", ["Check it.", "Write <think> first.", "Check {draft}, an answer to {problem}", "{problem}", " {draft} "]
)
@pytest.mark.parametrize("template", ENDS_OF_CONVERSATION)
def test_parts_may_stand_in_any_turn_and_several_times(template: str, last: str) -> None:
    tokenizer = byte_tokenizer(template)
    layout = [{"user": "{problem}; {problem}"}, {"assistant": "I say {draft}."}, {"user": last}]
    prompts = builder(tokenizer, refinement=layout, max_question_tokens=24, max_draft_tokens=20)
    question, draft = Question("q", "x" * 24, "1"), sampled(tokenizer, "y" * 20)
    prompt = prompts.refinement_prompt(question, [draft])
    turns = ["x" * 24 + "; " + "x" * 24, "I say " + "y" * 20 + ".", last]
    filled = [turn.replace("{problem}", "x" * 24).replace("{draft}", "y" * 20) for turn in turns]
    text = tokenizer.decode(prompt.token_ids)
    assert [part.partition("|>")[2].partition("<|end|>")[0] for part in text.split("<|")[3::2]][:3] == filled
    assert prompt.opened == template.removeprefix(MARKS_TURNS)
    assert len(prompt.token_ids) <= prompts.max_prompt_tokens(drafts=1)
    if not prompt.opened:
        assert len(prompt.token_ids) == prompts.max_prompt_tokens(drafts=1)


def test_a_refused_system_prompt_opens_only_the_first_turn() -> None:
    tokenizer = byte_tokenizer(TRIMS_NO_SYSTEM)
    prompts = builder(tokenizer, system="Be careful.", refinement=CONVERSATION)
    text = tokenizer.decode(prompts.refinement_prompt(QUESTION, [sampled(tokenizer, "1")]).token_ids)
    assert text.startswith(f"[INST] Be careful.\n\n{QUESTION.problem} = ? [/INST]")
    assert text.count("Be careful.") == 1


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ([], "it has: none"),
        ([{"assistant": "{problem}{draft}"}], "it has: assistant"),
        ([{"user": "{problem}"}, {"assistant": "{draft}"}], "it has: user, assistant"),
        ([{"user": "{problem}"}, {"user": "{draft}"}, {"user": "?"}], "it has: user, user, user"),
        ([{"user": "{problem}"}, {"assistant": "so"}, {"user": "?"}], r"must hold \{draft\} at least once"),
        ([{"user": "{problem}{critique}"}, {"assistant": "{draft}"}, {"user": "?"}], r"holds \{critique\}, which"),
    ],
)
def test_a_conversation_needs_its_order_and_its_parts(layout: Any, message: str) -> None:
    with pytest.raises(PromptError, match=rf"prompt\.refinement .*{message}"):
        builder(byte_tokenizer(MARKS_TURNS), refinement=layout)


def test_several_turns_need_a_chat_template() -> None:
    with pytest.raises(PromptError, match=r"prompt\.refinement has 3 turns"):
        builder(byte_tokenizer(), refinement=CONVERSATION)
    with pytest.raises(PromptError, match=r"prompt\.refinement has 3 turns.*prompt\.chat_template=off"):
        builder(byte_tokenizer(MARKS_TURNS), refinement=CONVERSATION, chat_template="off")


def test_a_template_that_drops_earlier_turns_is_refused() -> None:
    last_alone = "<|user|>{{ messages[-1]['content'] }}<|end|><|assistant|>"
    with pytest.raises(PromptError, match=r"loses or repeats a part of prompt\.refinement"):
        builder(byte_tokenizer(last_alone), refinement=CONVERSATION)
