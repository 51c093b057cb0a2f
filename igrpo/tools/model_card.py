"""Model card (README.md) of an exported model."""

from __future__ import annotations

import re
from pathlib import Path

from igrpo.settings.prompt import LayoutConfig, turns_of
from igrpo.tools.exported import ExportRecord

_LOAD_MODEL = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("DIRECTORY")
tokenizer = AutoTokenizer.from_pretrained("DIRECTORY")
```

`igrpo chat DIRECTORY` asks it with these prompts, `vllm serve DIRECTORY` serves it."""

_LOAD_ADAPTERS = """\
```python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("DIRECTORY")
```"""

_LOAD_ADAPTERS_ALONE = """\
The model that they belong to is none that others have; `igrpo export` without --adapters writes both as one. On that
model:

```python
from peft import PeftModel

adapted = PeftModel.from_pretrained(model, "DIRECTORY")
```"""


def model_card(record: ExportRecord, base_model: str | None, *, adapters: bool) -> str:
    """Return the model card as Markdown. If the base model is a local directory, only its last part is named."""
    local = base_model is not None and Path(base_model).expanduser().is_dir()
    shown = None if base_model is None else Path(base_model).name if local else base_model
    parts = [
        _front_matter(None if local else shown, adapters=adapters),
        f"# {record.run_name}",
        f"{'LoRA adapters for' if adapters else 'Trained from'} {shown or 'a small model of igrpo itself'} by igrpo "
        f"({record.algorithm}, objective {record.objective}, seed {record.seed}). These are the weights after step "
        f"{record.step}.",
        _accuracies(record),
        _asking(record),
        _LOAD_MODEL if not adapters else _LOAD_ADAPTERS_ALONE if base_model is None else _LOAD_ADAPTERS,
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(hub_name: str | None, *, adapters: bool) -> str:
    lines = ["pipeline_tag: text-generation", f"library_name: {'peft' if adapters else 'transformers'}"]
    lines += [] if hub_name is None else [f"base_model: {hub_name}"]
    return "\n".join(["---", *lines, "---"])


def _accuracies(record: ExportRecord) -> str:
    found = (("development", record.development_accuracy), ("test", record.test_accuracy))
    rows = [f"| {split} | {100 * value:.1f} % |" for split, value in found if value is not None]
    if not rows:
        return "These weights were not evaluated."
    note = "Accuracy of sampled answers to the bare question, with the sampling settings of generation_config.json:"
    return "\n".join([note, "", "| split | accuracy |", "|---|---|", *rows])


def _asking(record: ExportRecord) -> str:
    prompt = record.prompt
    texts = [("System", prompt.system), *_turns("Question", prompt.question), *_turns("Refinement", prompt.refinement)]
    blocks = [f"{name}:\n\n{_fenced(text)}" for name, text in texts if text]
    template = (
        "without a chat template" if prompt.chat_template == "off" else "in the tokenizer's chat template, if any"
    )
    return "\n\n".join([f"It was trained on these prompts, {template}:", *blocks])


def _turns(name: str, layout: LayoutConfig) -> list[tuple[str, str]]:
    """Return the texts of a layout with headings: its name, and the role if it has several turns."""
    turns = turns_of(layout)
    return [(name if len(turns) == 1 else f"{name} ({role})", text) for role, text in turns]


def _fenced(text: str) -> str:
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
