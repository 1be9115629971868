"""docs/bench.svg: requests per second as bars."""

from pathlib import Path

import matplotlib

from .peers import SIZES
from .results import Results

OURS, THEIRS = "#2b6cb0", "#a0aec0"


def plot(results: Results, path: Path) -> None:
    matplotlib.use("svg")
    # a fixed salt, so that the same data gives the same file
    matplotlib.rcParams |= {"svg.hashsalt": "record-shim", "font.size": 9}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(SIZES), figsize=(12, 4), layout="constrained")
    for each, size in zip(axes, SIZES, strict=True):
        names = [name for name, of in results.timings if of == size]
        rates = [results.median(name, size).rate for name in names]
        colours = [OURS if name.startswith("record-shim") else THEIRS for name in names]
        bars = each.barh(names, rates, color=colours)
        each.bar_label(bars, fmt="{:,.0f}", padding=2)
        each.set_title(f"{size}, requests/s")
        each.invert_yaxis()
        each.margins(x=0.3)
        each.spines[["top", "right"]].set_visible(False)
        each.set_xticks([])
    figure.savefig(path, metadata={"Date": None})
