"""All algorithms, distinguished by their name. To add one, add its class here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from igrpo.algorithms.critique_grpo import CritiqueGRPO
from igrpo.algorithms.grpo import GRPO
from igrpo.algorithms.igrpo import IGRPO
from igrpo.algorithms.self_verification import SelfVerification

#: The algorithm that the others are compared with.
BASELINE = "grpo"

AlgorithmConfig = Annotated[GRPO | IGRPO | CritiqueGRPO | SelfVerification, Field(discriminator="name")]
