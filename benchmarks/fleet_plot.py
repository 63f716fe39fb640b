"""The plot of docs/PERFORMANCE.md: wall time of a scan against the number of targets, both axes logarithmic."""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any, Final

from benchmarks.fleet_report import OURS, TITLES
from benchmarks.matching_plot import spread_out

if TYPE_CHECKING:
    from benchmarks.fleet_report import Results

_COLOURS: Final = {
    OURS: "#d62728",
    "ours-execs": "#ff9896",
    "ours-connections": "#ff7f0e",
    "asyncssh": "#1f77b4",
    "parallel-ssh": "#17a2b8",
    "fabric": "#2ca02c",
    "openssh": "#555555",
    "pyinfra": "#9467bd",
    "ansible-script": "#8c564b",
    "ansible-raw": "#b8860b",
    "ansible-shell": "#e377c2",
}


def svg(results: Results) -> str:
    """Return the plot as SVG with text as text."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    text = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "fleet", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure, axes = pyplot.subplots(figsize=(7.6, 5.2), layout="constrained")
        _draw(figure, axes, results)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _draw(figure: Any, axes: Any, results: Results) -> None:  # noqa: ANN401 - matplotlib is not typed here
    sizes = results.sizes()
    lines = {}
    for way in TITLES:
        cells = [cell for size in sizes if (cell := results.cell(way, size))]
        if cells:
            lines[way] = cells
            axes.plot(
                [cell.targets for cell in cells],
                [cell.wall_s for cell in cells],
                color=_COLOURS[way],
                marker="o",
                markersize=3,
                linewidth=2.6 if way == OURS else 1.3,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlim(sizes[0] * 0.85, sizes[-1] * max(4.0, (sizes[-1] / sizes[0]) ** 0.55))
    axes.minorticks_off()
    axes.grid(visible=True, which="major", color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("number of targets, 20 checks each")
    axes.set_ylabel("wall time of one scan, seconds")
    figure.canvas.draw()
    to_axes = axes.transAxes.inverted().transform
    at = {way: axes.transData.transform((cells[-1].targets, cells[-1].wall_s)) for way, cells in lines.items()}
    ends = sorted((to_axes(place)[1], way) for way, place in at.items())
    for (_, way), place in zip(ends, spread_out([height for height, _ in ends], 0.047), strict=True):
        last = lines[way][-1]
        width = to_axes(at[way])[0]
        axes.annotate(
            TITLES[way],
            xy=(last.targets, last.wall_s),
            xytext=(width + 0.05, place),
            textcoords="axes fraction",
            va="center",
            color=_COLOURS[way],
            fontweight="bold" if way == OURS else "normal",
            arrowprops={"arrowstyle": "-", "color": _COLOURS[way], "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3},
        )
