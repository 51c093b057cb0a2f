"""Markdown and LaTeX versions of a report's tables. All text is escaped, since names come from outside.

They are written without pandas: its ``to_latex`` has no rows of headings, notes or scaling and escapes fewer
characters, and its ``to_markdown`` needs another package and does not escape, so that most of this file would remain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from igrpo.report.dynamics_words import all_sentences
from igrpo.report.labels import moment, pair_words, printable
from igrpo.report.model import Report
from igrpo.report.table import Table
from igrpo.report.table_contents import all_tables
from igrpo.report.verdict import difference_words, headline, sentences

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_#|~$]|(?<=\])\()")
_LATEX_SPECIAL = {
    **{c: f"\\{c}" for c in "{}$&%#_"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "\N{MINUS SIGN}": "$-$",
    "×": r"$\times$",
    "–": r"\textendash{}",
    "…": r"\ldots{}",
    "→": r"$\rightarrow$",
}
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_PLAIN_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


def markdown(report: Report) -> str:
    """Return the verdicts, the notes and all tables as GitHub Markdown."""
    parts = [f"# {_md(report.title)}", f"igrpo {_md(report.igrpo_version)}, {_md(moment(report.created))}"]
    parts += [_md_list(f"**{_md(row.name)}:** {_md(row.value)}" for row in report.setup)] if report.setup else []
    found = [f"**{_md(pair_words(c.pair))}: {difference_words(c)}.**" for c in headline(report)]
    found += [_md(text) for text in sentences(report)]
    if found:
        parts.append(_md_list(found))
    if report.notes:
        parts.append("\n".join(f"> {_md(note)}  " for note in report.notes))
    across = () if report.across is None else (*report.across.readings, *report.across.left_out)
    for title, texts in (("Learning dynamics", all_sentences(report.dynamics)), ("Across tasks", across)):
        if texts:
            parts.append(f"## {title}\n\n{_md_list(map(_md, texts))}")
    return "\n\n".join([*parts, *(markdown_table(table) for table in all_tables(report))]) + "\n"


def latex(report: Report) -> str:
    """Return all tables as LaTeX: ``table`` environments with booktabs rules, scaled to the line width if wider."""
    head = "% Needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs,graphicx,textcomp}.\n"
    return head + "\n".join(_latex_table(table) for table in all_tables(report))


def markdown_table(table: Table) -> str:
    """Return one table as GitHub Markdown, under its title as a heading."""
    rule = (":--" if i < table.words else "--:" for i in range(len(table.head)))
    rows = [tuple(_md(title) for title in table.head), tuple(rule)]
    for heading, group in table.groups:
        if heading:
            rows.append((f"**{_md(heading)}**", *[""] * (len(table.head) - 1)))
        rows += [tuple(_md(cell) for cell in row) for row in group]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"## {_md(table.title)}\n\n{lines}" + (f"\n\n{_md(table.note)}" if table.note else "")


def _md_list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _md(text: str) -> str:
    plain = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN_SPECIAL.sub(r"\\\1", plain)


def _latex_table(table: Table) -> str:
    columns = "l" * table.words + "r" * (len(table.head) - table.words)
    body = [_latex_row(table.head)]
    for heading, group in table.groups:
        body.append("\\midrule")
        if heading:
            body.append(f"\\multicolumn{{{len(table.head)}}}{{l}}{{\\emph{{{_tex(heading)}}}}} \\\\")
        body += [_latex_row(row) for row in group]
    note = f"\n\\par\\smallskip{{\\footnotesize {_tex(table.note)}}}" if table.note else ""
    return (
        f"\\begin{{table}}[htbp]\n\\centering\n\\caption{{{_tex(table.title)}}}\n\\label{{tab:{table.key}}}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        + "\n".join(body)
        + f"\n\\bottomrule\n\\end{{tabular}}}}{note}\n\\end{{table}}\n"
    )


def _latex_row(cells: tuple[str, ...]) -> str:
    # without the braces, a first cell such as [x] would be read as the option of the preceding \\
    return "{}" + " & ".join(_tex(cell) for cell in cells) + " \\\\"


def _tex(text: str) -> str:
    escaped = "".join(_LATEX_SPECIAL.get(c, c) for c in printable(text)).replace("--", "-{}-")
    return _SUPERSCRIPT.sub(lambda found: f"$^{{{found[0].translate(_PLAIN_DIGITS)}}}$", escaped)
