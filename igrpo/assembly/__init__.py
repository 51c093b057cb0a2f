"""Factories that build the objects of a run from a checked configuration.

All parts are built in this package. Each part receives its own section, never the whole configuration. To add a part,
add its section to the schema, its YAML file, and a line here.
"""

from igrpo.assembly.aids import build_aids
from igrpo.assembly.cycle import (
    Parts,
    build_benchmark_evaluator,
    build_collector,
    build_development_evaluator,
    build_dynamic_sampling,
    build_engine,
    build_entropy_meter,
    build_evaluator,
    build_weight_sync_check,
)
from igrpo.assembly.lengths import check_lengths, longest_prompt
from igrpo.assembly.module import build_data, build_module
from igrpo.assembly.policy import Policy, build_device, build_policy, build_prompts
from igrpo.assembly.questions import (
    FittingSource,
    evaluated_questions,
    fitting_questions,
    fitting_source,
    read_splits,
)
from igrpo.assembly.reward import build_benchmark_rewards, build_reward

__all__ = [
    "FittingSource",
    "Parts",
    "Policy",
    "build_aids",
    "build_benchmark_evaluator",
    "build_benchmark_rewards",
    "build_collector",
    "build_data",
    "build_development_evaluator",
    "build_device",
    "build_dynamic_sampling",
    "build_engine",
    "build_entropy_meter",
    "build_evaluator",
    "build_module",
    "build_policy",
    "build_prompts",
    "build_reward",
    "build_weight_sync_check",
    "check_lengths",
    "evaluated_questions",
    "fitting_questions",
    "fitting_source",
    "longest_prompt",
    "read_splits",
]
