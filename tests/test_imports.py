"""Help, versions and mistakes are answered before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

HEAVY = {"torch", "mlflow", "lightning", "transformers", "datasets", "math_verify", "numpy", "scipy", "pandas"}

CODE = """
import json, sys
from igrpo.cli.main import main
codes = [main(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps({"codes": codes, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def modules_after(*commands: list[str], folder: Path) -> tuple[list[int], set[str]]:
    import json

    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(commands)], capture_output=True, text=True, check=True, cwd=folder
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["codes"], set(answer["modules"])


def test_help_does_not_even_import_hydra(tmp_path: Path) -> None:
    codes, modules = modules_after(["--version"], ["train", "--help"], ["trian"], folder=tmp_path)
    assert codes == [0, 0, 2]
    assert not modules & (HEAVY | {"hydra", "omegaconf", "rich"})


def test_mistakes_and_checks_import_nothing_heavy(tmp_path: Path) -> None:
    codes, modules = modules_after(
        ["train", "trainer.stpes=5"], ["train", "--check"], ["train", "resume=nowhere"], folder=tmp_path
    )
    assert codes == [2, 0, 2]
    assert not modules & HEAVY
    assert list(tmp_path.iterdir()) == []
