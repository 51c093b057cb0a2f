"""Importing the parts that every command needs must not cost seconds."""

import subprocess
import sys

LIGHT = (
    "run_directory",
    "run_lock",
    "metrics_file",
    "rollout_log",
    "summary",
    "versions",
    "links",
    "stale",
)


def test_light_modules_import_no_heavy_library() -> None:
    imports = ", ".join(["igrpo.disk", *(f"igrpo.runs.{name}" for name in LIGHT)])
    heavy = "{'torch', 'mlflow', 'lightning', 'transformers', 'pandas', 'numpy'}"
    code = f"import sys, {imports}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
