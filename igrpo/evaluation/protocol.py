"""Version of the evaluation protocol, which is part of every result."""

from __future__ import annotations

from typing import Final

#: Raise it with any change that can change a number for the same model, settings and questions: the seeds of samples,
#: what a prompt of a layout contains, which questions are left out or chosen, what counts as right for the same
#: settings of the verifier, how a draft is chosen, or the definition of a metric that has kept its name. A new metric,
#: benchmark, mode or setting with the old behaviour as its default does not raise it. Results of different versions are
#: not comparable.
PROTOCOL: Final = 1
