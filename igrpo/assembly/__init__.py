"""From a checked configuration to objects: the one place where parts are made.

Each part gets its own section, never the whole configuration. To add a part: its section in the schema, its YAML, and
its line here.
"""

from igrpo.assembly.cycle import (
    Parts,
    build_algorithm,
    build_collector,
    build_engine,
    build_evaluator,
    build_prompts,
    check_lengths,
)
from igrpo.assembly.policy import Policy, build_device, build_policy
from igrpo.assembly.questions import build_source, fitting_source
from igrpo.assembly.reward import build_reward

__all__ = [
    "Parts",
    "Policy",
    "build_algorithm",
    "build_collector",
    "build_device",
    "build_engine",
    "build_evaluator",
    "build_policy",
    "build_prompts",
    "build_reward",
    "build_source",
    "check_lengths",
    "fitting_source",
]
