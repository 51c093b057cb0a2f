"""The report as a function of the public API: ``igrpo.report(runs)``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from igrpo.files import shown_path
from igrpo.report.compare import Pairs, build_report
from igrpo.report.model import Report
from igrpo.report.runs import find_runs
from igrpo.report.verdict import headline, sentence
from igrpo.report.write import default_directory, write_report
from igrpo.runs.fingerprints import Part

_HTML = """\
<h4>{{ title }}</h4>
{% for text in verdicts %}<p>{{ text }}</p>
{% endfor %}{% for table in tables %}<table>
<caption>{{ table.title }}</caption>
<tr>{% for cell in table.head %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for heading, rows in table.groups %}{% if heading %}
<tr><th colspan="{{ table.head | length }}">{{ heading }}</th></tr>
{% endif %}{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}{% endfor %}</table>
{% endfor %}{% for note in notes %}<p><small>{{ note }}</small></p>
{% endfor %}<p>{{ page }}</p>
"""


@dataclass(frozen=True, slots=True, repr=False)
class WrittenReport:
    """A report that was written to a directory. A notebook shows its verdicts and its tables.

    Attributes:
        directory: directory with report.html, report.json, tables.md, tables.tex and figures/.
        numbers: everything that the files show, as in report.json.
    """

    directory: Path
    numbers: Report

    @property
    def page(self) -> Path:
        """The page, one HTML file."""
        return self.directory / "report.html"

    @property
    def figures(self) -> dict[str, Path]:
        """The figures by name, as PNG files; beside each lies an SVG file of the same name."""
        return {path.stem: path for path in sorted((self.directory / "figures").glob("*.png"))}

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the compared conditions."""
        return tuple(condition.name for condition in self.numbers.conditions)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The result of each comparison of single-shot accuracy, in words; empty with one condition."""
        return tuple(sentence(comparison.verdict) for comparison in headline(self.numbers))

    def __repr__(self) -> str:
        return f"WrittenReport({shown_path(self.directory)!r}, conditions={self.conditions})"

    def __str__(self) -> str:
        return "\n".join([self.numbers.title, *self.verdicts, *(f"note: {note}" for note in self.numbers.notes)])

    def _repr_html_(self) -> str:
        from jinja2 import Environment

        from igrpo.report.table_results import comparisons, results

        report = self.numbers
        return (
            Environment(autoescape=True)
            .from_string(_HTML)
            .render(
                title=report.title,
                verdicts=self.verdicts,
                tables=[*results(report), *comparisons(report)[:1]],
                notes=report.notes,
                page=shown_path(self.page),
            )
        )


def report(
    runs: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    directory: str | os.PathLike[str] | None = None,
    baseline: str | None = None,
    pairs: Pairs = "baseline",
    allow_different: Collection[Part] = (),
    title: str | None = None,
) -> WrittenReport:
    """Compare runs and write the report, as `igrpo report` does.

    Args:
        runs: runs (`igrpo.Run`), run directories, sweep directories, or folders of those; or a single one.
        directory: where the report is written; an earlier one there is replaced. None: RUN/report for a single run or
            folder, else ./report.
        baseline: condition that the others are compared with. None: GRPO on the whole budget, else the first one.
        pairs: ``baseline``, or ``all`` to compare every pair of conditions.
        allow_different: parts in which the runs may differ besides what is compared: ``questions``, ``prompts``,
            ``reward``, ``model``.
        title: title of the page. None: it names the conditions.

    Raises:
        ValueError: there is nothing to compare, the runs differ in a part that is not compared, or the directory cannot
            be written.
        DiskFullError: the disk is full.
    """
    given = [Path(run) for run in ([runs] if isinstance(runs, str | os.PathLike) else runs)]
    if not given:
        raise ValueError("igrpo.report: give at least one run, such as igrpo.report([run])")
    found = build_report(
        find_runs(given),
        title=title,
        sources=[str(path) for path in given],
        baseline=baseline,
        pairs=pairs,
        allow_different=allow_different,
    )
    out = default_directory(given) if directory is None else Path(directory)
    write_report(found, out)
    return WrittenReport(out.absolute(), found)
