"""The plot of docs/PERFORMANCE.md: CPU time of one incident against the number of rules, both axes logarithmic."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from benchmarks.matching_engines import BYTES, NAIVE, ORJSON, PARSED, REFERENCE

if TYPE_CHECKING:
    from benchmarks.matching_report import Results


@dataclass(frozen=True, slots=True)
class _Line:
    """How one engine is drawn."""

    engine: str
    label: str
    colour: str
    style: str = "-"
    width: float = 1.3


_LINES: Final = (
    _Line("rule-engine", "rule-engine", "#8c564b"),
    _Line("json-logic", "json-logic", "#b8860b"),
    _Line("mongoquery", "mongoquery", "#2ca02c"),
    _Line(REFERENCE.key, "ours, reference", "#d62728", ":", 1.6),
    _Line(NAIVE.key, "naive scan", "#555555"),
    _Line("clips", "CLIPS", "#9467bd"),
    _Line("postgres", "PostgreSQL, indexed", "#1f77b4"),
    _Line("event-ruler", "event-ruler *", "#17a2b8", "--"),
    _Line("quamina", "quamina *", "#e377c2", "--"),
    _Line(BYTES.key, "ours, from JSON bytes", "#d62728", "-", 2.6),
    _Line(PARSED.key, "ours, parsed", "#ff7f0e", "-", 2.6),
    _Line(ORJSON.key, "orjson.loads alone", "#999999", "-.", 1.1),
)
_TITLES: Final = {"w": "W: nine kinds of rules", "h": "H: 2,174 sets of fields"}
_CAPTION: Final = "number of rules      (* carried over from the field note, by the speed of orjson.loads)"
_LABEL_DISTANCE: Final = 0.047
"""Least distance of two labels, as a part of the panel's height."""


def svg(results: Results) -> str:
    """Return the plot as SVG with text as text."""
    text = io.StringIO()
    draw(results, text, "svg")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def draw(results: Results, file: IO[Any], file_format: str) -> None:
    """Draw the plot into an open file, as ``svg`` or ``png``."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    settings = {"svg.fonttype": "none", "svg.hashsalt": "matching", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context(settings):
        workloads = results.workloads
        size = (5.6 * len(workloads), 5.4)
        figure, panels = pyplot.subplots(
            1, len(workloads), figsize=size, sharey=True, squeeze=False, layout="constrained"
        )
        for workload, axes in zip(workloads, panels[0], strict=True):
            _panel(axes, results, workload)
        figure.canvas.draw()  # places both panels, with their shared limits, before anything is put beside a line
        for workload, axes in zip(workloads, panels[0], strict=True):
            _labels(axes, results, workload)
        panels[0][0].set_ylabel("CPU time of one incident, microseconds")
        figure.supxlabel(
            "number of rules      (* carried over from the field note, by the speed of orjson.loads)", size=9
        )
        metadata = {"Date": None, "Creator": None} if file_format == "svg" else {}
        figure.savefig(file, format=file_format, metadata=metadata)
        pyplot.close(figure)


def _points(results: Results, workload: str, engine: str) -> tuple[list[int], list[float]]:
    rates = [(size, results.rate(workload, size, engine)) for size in results.sizes(workload)]
    known = [(size, 1e6 / rate) for size, rate in rates if rate]
    return [size for size, _ in known], [cost for _, cost in known]


def _panel(axes: Any, results: Results, workload: str) -> None:  # noqa: ANN401 - matplotlib is not typed here
    sizes = results.sizes(workload)
    for line in _LINES:
        where, costs = _points(results, workload, line.engine)
        if costs:
            look = {"color": line.colour, "linestyle": line.style, "linewidth": line.width}
            axes.plot(where, costs, marker="o", markersize=3, **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(sizes[0] * 0.8, sizes[-1] * (sizes[-1] / sizes[0]) ** 0.62)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(visible=True, which="major", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_TITLES[workload], fontsize=10, loc="left")


def _labels(axes: Any, results: Results, workload: str) -> None:  # noqa: ANN401 - matplotlib is not typed here
    """Write each engine's name at its line's end, moved apart where they would overlap."""
    ends = []
    for line in _LINES:
        where, costs = _points(results, workload, line.engine)
        if costs:
            height = axes.transAxes.inverted().transform(axes.transData.transform((where[-1], costs[-1])))[1]
            ends.append((height, line, where[-1], costs[-1]))
    ends.sort(key=lambda end: end[0])
    places = spread_out([height for height, *_ in ends], _LABEL_DISTANCE)
    for (_, line, size, cost), place in zip(ends, places, strict=True):
        width = axes.transAxes.inverted().transform(axes.transData.transform((size, cost)))[0]
        axes.annotate(
            line.label,
            xy=(size, cost),
            xytext=(width + 0.055, place),
            textcoords="axes fraction",
            va="center",
            color=line.colour,
            fontweight="bold" if line.width > 2 else "normal",
            arrowprops={"arrowstyle": "-", "color": line.colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3},
        )


def spread_out(heights: list[float], distance: float) -> list[float]:
    """Return sorted heights moved as little as needed to be ``distance`` apart, groups staying centred."""
    groups: list[tuple[float, int]] = []  # centre and number of members
    for height in heights:
        groups.append((height, 1))
        while len(groups) > 1:
            (low, low_count), (high, high_count) = groups[-2:]
            if high - low >= distance * (low_count + high_count) / 2:
                break
            count = low_count + high_count
            groups[-2:] = [((low * low_count + high * high_count) / count, count)]
    return [centre + distance * (member - (count - 1) / 2) for centre, count in groups for member in range(count)]
