"""What is removed from settings, addresses, command lines and messages before they are published, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from igrpo.tools.redaction import _VARIABLES, Redactor, home_roots

ROOTS = {"/home/ann": "~", "/home/ann/work": "", "/data/my sweeps/first": "sweep"}


def redactor(*, keep_machine: bool = False) -> Redactor:
    return Redactor(ROOTS, hosts=frozenset({"ann-box", "vm"}), keep_machine=keep_machine)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if _VARIABLES.search(name):
            monkeypatch.delenv(name)


SECRETS = {
    "http://ann:pass@word@mlflow.org/x": "http://mlflow.org/x",
    "http://ann@mlflow.org": "http://mlflow.org",
    r"uri=http\://ann\:passw0rd@host.org\:90/x": r"uri=http\://host.org\:90/x",
    "postgresql+psycopg://ann:passw0rd@db/x": "postgresql+psycopg://db/x",
    "https://host.org/v1?api-version=2&key=abc rest": "https://host.org/v1 rest",
    "reward.extra_body.api_key=abcdef": "reward.extra_body.api_key=***",
    "+reward.extra_body={api_key: abcdef, n: 2}": "+reward.extra_body={api_key: ***, n: 2}",
    "Authorization: Bearer abc.def": "Authorization: ***",
    "IGRPO_JUDGE_API_KEY='a b' igrpo": "IGRPO_JUDGE_API_KEY=*** igrpo",
    "key sk-proj-abcdefghijklmnop1234 and hf_abcdefghijklmnopqrst": "key *** and ***",
}
MACHINE = {
    "/home/ann/work/data/a.jsonl": "data/a.jsonl",
    "data.path=/home/ann/work/a.jsonl": "data.path=a.jsonl",
    "[/home/ann/a, /home/ann/work]": "[~/a, .]",
    "/home/anna/b": "<folder-1>/b",
    "/data/my sweeps/first/001-igrpo_s0 failed": "sweep/001-igrpo_s0 failed",
    "sqlite:////home/ann/mlflow.db": "sqlite:///~/mlflow.db",
    "sqlite:////srv/x/mlflow.db": "sqlite:///<folder-1>/mlflow.db",
    "no such file: '/scratch/bob/x/y.bin'": "no such file: '<folder-1>/y.bin'",
    "/a/b/one /a/b/two /c/one": "<folder-1>/one <folder-1>/two <folder-2>/one",
    "http://ann-box:8001/v1": "http://<host>:8001/v1",
}
KEPT = (
    "nvidia/OpenMath-Nemotron-7B", "https://api.openai.com/v1", "http://ann-box.org/v1", "condition=vm", "and/or",
    "use /no_think or <think>a</think>/b/c", "sampling.max_completion_tokens=8", "rollout.api_key_env=IGRPO_API_KEY",
    "~/models/x", "1/2/3", "../up/here", "sqlite:///mlflow.db",
)  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SECRETS.items())
def test_secrets_are_removed_always(text: str, expected: str) -> None:
    assert redactor().text(text) == expected
    assert redactor(keep_machine=True).text(text) == expected


@pytest.mark.parametrize(("text", "expected"), MACHINE.items())
def test_paths_and_hosts_are_removed_unless_they_are_kept(text: str, expected: str) -> None:
    assert redactor().text(text) == expected
    assert redactor(keep_machine=True).text(text) == text


@pytest.mark.parametrize("text", KEPT)
def test_other_texts_are_kept(text: str) -> None:
    assert redactor().text(text) == text


def test_hosts_are_removed_from_messages_only_where_asked() -> None:
    assert redactor().text("process 7 on host vm", names=True) == "process 7 on host <host>"
    assert redactor().text("a vm.1 in vms", names=True) == "a <host>.1 in vms"


def test_different_paths_stay_different() -> None:
    one = redactor()
    paths = ["/m/a/export", "/m/b/export", "/home/ann/a/export", "/home/ann/work/a/export", "/m/a/export"]
    assert [one.text(path) for path in paths] == [
        "<folder-1>/export", "<folder-2>/export", "~/a/export", "a/export", "<folder-1>/export",
    ]  # fmt: skip


def test_values_keep_prompts_and_hide_what_is_named_a_secret() -> None:
    found = redactor().values(
        {
            "prompt": {"system": "Look at /home/ann/work/x and token: 5", "question": [{"user": "{problem} /a/b"}]},
            "reward": {"extra_body": {"api_key": "k", "n": 1}, "api_key_env": "MY_KEY", "paths": ["/srv/a/b", None]},
        }
    )
    assert found == {
        "prompt": {"system": "Look at /home/ann/work/x and token: 5", "question": [{"user": "{problem} /a/b"}]},
        "reward": {"extra_body": {"api_key": "***", "n": 1}, "api_key_env": "MY_KEY", "paths": ["<folder-1>/b", None]},
    }


def test_a_secret_is_found_again_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "from-the-environment")
    one = redactor()
    one.learn({"tracking": {"uri": "http://u:in-an-address@h"}, "reward": {"arguments": {"token": "in-a-setting"}}})
    assert one.secrets == {"from-the-environment", "in-an-address", "in-a-setting"}
    said = "in-a-setting, in-an-address and from-the-environment were refused"
    assert one.text(said) == "***, *** and *** were refused"
    assert one.values({"prompt": {"system": said}}) == {"prompt": {"system": "***, *** and *** were refused"}}


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", True),
        ("WANDB_KEY", True),
        ("wandb_api_key", True),
        ("HF_TOKEN", True),
        ("CLIENT_SECRET", True),
        ("SMTP_CREDENTIALS", True),
        ("DB_PASS", True),
        ("KEYBOARD", False),
        ("GIT_ASKPASS", False),
        ("TOKENIZERS_PARALLELISM", False),
    ],
)
def test_variables_named_like_secrets(name: str, is_secret: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "value-of-the-variable")
    assert (redactor().text("got value-of-the-variable") == "got ***") is is_secret


def test_a_variable_that_a_setting_names_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNS_JUDGE", "value-of-the-variable")
    one = redactor()
    one.learn({"reward": {"api_key_env": "ANNS_JUDGE"}, "rollout": {"api_key_env": "NOT_SET_AT_ALL"}})
    assert one.secrets == {"value-of-the-variable"}
    assert one.text("got value-of-the-variable from $ANNS_JUDGE") == "got *** from $ANNS_JUDGE"


def test_home_is_a_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    one = Redactor(home_roots(), keep_machine=False)
    assert one.text(f"{tmp_path}/link/x {tmp_path}/real/y") == "~/x ~/y"
