import re

import pytest

from igrpo.runs.naming import folder_name, short_name, short_params

CASES = [
    ({"algorithm": "igrpo", "seed": "0"}, "igrpo s0", "000-igrpo_s0"),
    ({"seed": "1", "algorithm": "igrpo", "completions_per_question": "8"}, "igrpo completions=8 s1", None),
    ({"algorithm": "igrpo", "algorithm.selection": "worst"}, "igrpo selection=worst", "000-igrpo_selection-worst"),
    ({"trainer.learning_rate": "1e-4", "condition": "best_of_n"}, "learning_rate=1e-4 best_of_n", None),
    ({"objective.kl_beta": "-1"}, "kl_beta=-1", "000-kl-beta-1"),
    ({"rollout.pipeline": "true", "debug": "TRUE"}, "pipeline=true debug=TRUE", None),
    ({"trainer.steps": "5", "warm_start.steps": "7"}, "trainer.steps=5 warm_start.steps=7", None),
    ({"seed": "3", "data.seed": "4"}, "data.seed=4 s3", "000-data.seed-4_s3"),
    ({"hydra/launcher": "joblib"}, "joblib", None),
    ({}, "run", "000-run"),
]


@pytest.mark.parametrize(("swept", "name", "folder"), CASES)
def test_names(swept: dict[str, str], name: str, folder: str | None) -> None:
    assert short_name(swept) == name
    if folder is not None:
        assert folder_name(0, swept) == folder


def test_parameters_have_short_names_unless_two_are_alike() -> None:
    swept = {
        "algorithm": "igrpo",
        "trainer.learning_rate": "1e-4",
        "trainer.steps": "5",
        "model.steps": "7",
        "seed": "0",
    }
    assert short_params(swept) == {
        "algorithm": "igrpo",
        "learning_rate": "1e-4",
        "trainer.steps": "5",
        "model.steps": "7",
        "seed": "0",
    }


@pytest.mark.parametrize("value", ["../../etc/passwd", "a b\tc", "ü=ß", "[1,2]", "'quoted'", "x" * 300, ".", "-", "/"])
def test_folders_are_safe_whatever_the_value(value: str) -> None:
    for swept in ({"model.name_or_path": value}, {"algorithm": value, "seed": "1"}):
        name = folder_name(12, swept)
        assert re.fullmatch(r"012-?[A-Za-z0-9._-]*[A-Za-z0-9]", name), name
        assert len(name) <= 80
        assert ".." not in name.split("_")


def test_the_number_makes_folders_differ_and_sort() -> None:
    swept = {"data.path": "y" * 200}
    names = [folder_name(number, swept) for number in (0, 2, 10, 100)]
    assert names == sorted(set(names))
