"""Style of the figures, and rendering to SVG and PNG: the same bytes for the same report."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from igrpo.report.labels import printable

#: Width in inches. At 100 dots per inch a figure is 520 pixels wide, and its text stays legible at 370.
WIDTH = 5.2
DPI = 100

INK = "#222222"
FAINT = "#8a8a8a"
GRID = "#e4e4e4"

#: Colours that are distinct under all common colour blindness (after Okabe and Ito, and Tol's muted scheme). The
#: baseline is drawn in ``INK``.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933", "#6a51a3")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)), (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)))
_MARKERS = "osD^vPX<>*"

#: The layout uses DejaVu Sans, which comes with matplotlib; a page may use any sans-serif font of similar width.
_PAGE_FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.labelsize": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.parse_math": False,  # a run's name may contain a dollar sign
    "svg.fonttype": "none",
}

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


@dataclass(frozen=True, slots=True)
class Figure:
    """Rendered figure.

    Attributes:
        name: stem of the file names, unique in a report.
        title: title of the figure.
        caption: text on what to look for and what the lines are.
        svg: an ``<svg>`` element (no XML declaration); its ids begin with ``name``.
        png: the same figure as PNG at 200 dots per inch.
        aside: why the page shows the figure only on request, such as that it repeats another one; empty: it is shown.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Figure before rendering."""

    name: str
    title: str
    caption: str
    canvas: Canvas
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Style of one condition in every figure."""

    label: str
    colour: str
    dashes: Any
    marker: str

    def handle(self) -> Line2D:
        """Return the line that represents the condition in a legend."""
        return Line2D([], [], color=self.colour, linestyle=self.dashes, marker=self.marker, markersize=5, linewidth=1.8)


def looks(conditions: Sequence[str], baseline: str) -> dict[str, Look]:
    """Return one style per condition. Colour, line style and marker all vary, so that any one of them is enough."""
    ordered = [*(c for c in conditions if c == baseline), *(c for c in conditions if c != baseline)]
    colours = (INK, *_COLOURS)
    found = {}
    for i, name in enumerate(ordered):
        dashes = _DASHES[(i + i // len(colours)) % len(_DASHES)]
        marker = _MARKERS[(i + i // len(colours)) % len(_MARKERS)]
        found[name] = Look(printable(name), colours[i % len(colours)], dashes, marker)
    return {name: found[name] for name in conditions}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply matplotlib's defaults and this module's style instead of the user's matplotlibrc; restore it on exit."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def legend_below(canvas: Canvas, handles: Sequence[Artist], labels: Sequence[str]) -> float:
    """Add a legend at the lower edge, in as many columns as fit, and return its height in inches."""
    wrapped = [textwrap.fill(label, 46) for label in labels]
    renderer = FigureCanvasAgg(canvas).get_renderer()  # type: ignore[no-untyped-call]
    for columns in range(min(4, len(handles)), 0, -1):
        legend = canvas.legend(
            handles, wrapped, loc="lower center", ncols=columns, handlelength=2.9, columnspacing=1.4, borderpad=0.3
        )
        box = legend.get_window_extent(renderer)
        if columns == 1 or box.width <= 0.98 * canvas.bbox.width:
            return float(box.height / canvas.dpi)
        legend.remove()
    return 0.0


def render(drawing: Drawing) -> Figure:
    """Render a figure as SVG (ids prefixed with its name, no date) and PNG. Call it within ``house_style``."""
    vector, pixels = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        # a glyph missing from DejaVu Sans is drawn as a box in the PNG; in the SVG the reader's fonts may have it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcParams["svg.hashsalt"] = drawing.name
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(drawing.canvas).print_figure(vector, format="svg", metadata=nothing)
        FigureCanvasAgg(drawing.canvas).print_figure(pixels, format="png", dpi=2 * DPI, metadata={"Software": None})
    svg = _inline_svg(vector.getvalue(), drawing)
    return Figure(drawing.name, drawing.title, drawing.caption, svg, pixels.getvalue(), drawing.aside)


def _inline_svg(source: bytes, drawing: Drawing) -> str:
    """Convert matplotlib's SVG to an element that can share one HTML page with others."""
    root = ElementTree.fromstring(source)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        link = element.attrib.pop(f"{_XLINK}href", None)
        for key, value in element.attrib.items():
            changed = value.replace("url(#", f"url(#{drawing.name}-")
            if key == "style":
                changed = changed.replace("'DejaVu Sans'", _PAGE_FONTS)
            if key == "id":
                changed = f"{drawing.name}-{value}"
            element.set(key, changed)
        if link is not None:
            element.set("href", link.replace("#", f"#{drawing.name}-", 1))
    for metadata in root.findall("metadata"):
        root.remove(metadata)
    width, height = (round(inches * DPI) for inches in drawing.canvas.get_size_inches())
    attributes = {"width": str(width), "height": str(height), "role": "img", "aria-label": drawing.title}
    root.attrib.update({"xmlns": _SVG.strip("{}"), **attributes})
    return ElementTree.tostring(root, encoding="unicode")
