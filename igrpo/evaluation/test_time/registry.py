"""All test-time modes, distinguished by their name. To add one, add its class here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from igrpo.evaluation.test_time.majority import Majority
from igrpo.evaluation.test_time.pdr import DistillRefine
from igrpo.evaluation.test_time.refine import Refine
from igrpo.evaluation.test_time.rsa import SelfAggregation

ModeConfig = Annotated[Majority | Refine | SelfAggregation | DistillRefine, Field(discriminator="name")]
