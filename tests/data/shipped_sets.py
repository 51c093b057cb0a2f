"""Small local copies of the data sets of conf/data: their columns, with rows made up here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets

Rows = list[dict[str, Any]]
PREFIX = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
SUFFIX = '\n\nRemember to put your answer on its own line after "Answer:".'
_FRUIT = ("apples", "pears", "plums", "figs", "limes", "dates", "melons", "quinces", "kiwis", "mangos")
_PLACES = ("barn", "market", "cellar", "garden", "kitchen", "harbour", "library", "station", "tower", "mill")


def problem(number: int) -> str:
    """Problems of 100 different wordings that no two share an eight-word passage with a number of its own."""
    fruit, place = _FRUIT[number % 10], _PLACES[number // 10 % 10]
    return f"The {place} of a village keeps {number + 3} boxes of {fruit}. How many {fruit} has the {place} to sell?"


def answer(number: int) -> str:
    return str(1000 + number)


def _math(number: int) -> dict[str, Any]:
    solution = rf"A first guess is $\boxed{{0}}$. Counting all boxes gives $\boxed{{{answer(number)}}}$."
    return {"problem": problem(number), "level": "Level 3", "type": "Algebra", "solution": solution}


def _plain(number: int) -> dict[str, Any]:
    return {"problem": problem(number), "answer": answer(number)}


def _openr1(number: int) -> dict[str, Any]:
    more = {
        "uuid": f"u{number}",
        "generations": ["<think>..."],
        "source": "olympiads",
        "correctness_math_verify": [True],
    }
    return _plain(number) | more


def _gsm8k(number: int) -> dict[str, Any]:
    return {"question": problem(number), "answer": f"There are <<1000+{number}=...>> in all.\n#### 1,{number:03}"}


def _dapo(number: int) -> dict[str, Any]:
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": PREFIX + problem(number) + SUFFIX, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer(number), "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"i{number}"},
    }


def _deepscaler(number: int) -> dict[str, Any]:
    return _plain(number) | {"solution": ""}


#: How a row of each data set looks.
ROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "math": _math, "acereason_math": _plain, "openr1_math": _openr1, "gsm8k": _gsm8k, "dapo_math": _dapo,
    "deepscaler": _deepscaler,
}  # fmt: skip
#: Those with a test split of their own.
WITH_TEST = ("math", "gsm8k")


def write_set(name: str, folder: Path, *, more: Rows | None = None) -> list[str]:
    """Write 60 training rows (and 20 of a test split), and give the overrides that read them."""
    folder.mkdir(parents=True)
    row = ROWS[name]
    _write(folder / "train.parquet", [row(number) for number in range(60)] + (more or []))
    where = folder if name in WITH_TEST else folder / "train.parquet"
    overrides = [f"data={name}", f"data.dataset={where}", "data.subset=null", "data.revision=null"]
    if name in WITH_TEST:
        _write(folder / "test.parquet", [row(number) for number in range(80, 100)])
        return [*overrides, "data.development=0.1"]
    return [*overrides, "data.development=0.1", "data.test=0.1"]


def _write(path: Path, rows: Rows) -> None:
    datasets.Dataset.from_list(rows).to_parquet(path)
