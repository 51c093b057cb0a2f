"""What a run imports, and when: libraries that are not used yet are not imported, and stand-ins behave like them."""

import subprocess
import sys
from pathlib import Path

import pytest

#: Imported by none of torch, transformers and Lightning for their own use, and not used before the first step.
UNUSED = (
    "sklearn",
    "pandas",
    "matplotlib",
    "peft",
    "mlflow",
    "datasets",
    "math_verify",
    "scipy.stats",
    "scipy.optimize",
)
UNUSED_ALSO = ("scipy.signal", "boto3", "pyarrow", "sqlalchemy", "tensorboard", "torchvision")

REPORT = f"print('IMPORTED', json.dumps([name for name in {(*UNUSED, *UNUSED_ALSO)!r} if name in sys.modules]))\n"


def python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_training_is_imported_without_what_it_does_not_use(tmp_path: Path) -> None:
    code = (
        "import gc, json, sys\nfrom igrpo.runs.execution import import_training\nimport_training()\n"
        f"{REPORT}assert 'lightning' in sys.modules\nassert gc.isenabled()\nassert gc.get_freeze_count() > 100_000\n"
        "from igrpo.lazy_imports import _StandIn\n"
        "assert not [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]\n"
    )
    assert "IMPORTED []" in python(code, tmp_path)


def test_a_run_without_mlflow_imports_nothing_unused_by_its_first_step(tmp_path: Path) -> None:
    code = (
        "import json, sys\nfrom igrpo.runs.execution import import_training\nimport_training()\n"
        "from igrpo.training.module import IGRPOModule\nfrom igrpo.cli.main import main\n"
        "def first_step(*arguments):\n    "
        f"{REPORT}    raise RuntimeError('enough')\n"
        "IGRPOModule.training_step = first_step\n"
        "settings = ['model.warm_start.steps=1', 'evaluation.questions=2', 'evaluation.samples=1', 'hydra.run.dir=run', 'tracking=none']\n"
        "assert main(['train', 'experiment=quickstart', *settings]) == 1\n"
    )
    assert "IMPORTED []" in python(code, tmp_path)


STAND_INS = """
import sys
from igrpo.lazy_imports import quick_imports
with quick_imports():
    import transformers.generation.candidate_generator as decoding
    import transformers.loss.loss_for_object_detection as detection
    import torchmetrics
    from torchmetrics.utilities import plot
assert not {"sklearn", "scipy.optimize", "matplotlib"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    "use",
    [
        "assert detection.linear_sum_assignment([[1, 9], [9, 1]])[1].tolist() == [0, 1]",
        "assert decoding.roc_curve([0, 1], [0.1, 0.9])[1].tolist()[-1] == 1.0",
        "import matplotlib.pyplot as real; assert plot.plt.subplots is real.subplots",
        "import matplotlib; matplotlib.use('agg'); m = torchmetrics.MeanMetric(); m.update(1.0); assert m.plot()[0].axes",
        "from scipy.signal.windows import hamming; import scipy.signal; assert scipy.signal.windows.hamming is hamming",
    ],
    ids=["assignment", "roc_curve", "pyplot", "plot", "later_import"],
)
def test_a_stand_in_becomes_the_module_when_used(use: str, tmp_path: Path) -> None:
    python(f"{STAND_INS}{use}", tmp_path)


def test_a_missing_library_gets_no_stand_in(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\nimport igrpo.lazy_imports as lazy\n"
        "lazy._FUNCTIONS['no_such_library'] = ('f',)\n"
        "with lazy.quick_imports():\n    assert importlib.util.find_spec('no_such_library') is None\n"
    )
    python(code, tmp_path)


def test_an_error_in_the_block_removes_the_stand_ins(tmp_path: Path) -> None:
    code = (
        "import gc, sys\nfrom igrpo.lazy_imports import quick_imports\n"
        "try:\n    with quick_imports():\n        assert 'boto3' in sys.modules\n        raise ImportError\n"
        "except ImportError:\n    pass\nassert 'boto3' not in sys.modules and gc.isenabled()\n"
    )
    python(code, tmp_path)
