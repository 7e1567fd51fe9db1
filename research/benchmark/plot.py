"""Plots images per minute of each way of scanning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

STYLE: Final[Any] = {"svg.hashsalt": "starlight", "svg.fonttype": "none"}
WAYS: Final = {
    "decode_only": "reading and decoding alone",
    "repeats_90": "end to end, 90 % repeats",
    "repeats_30": "end to end, 30 % repeats",
    "end_to_end": "end to end, nothing repeated",
    "in_process": "the same pipeline in one process",
    "bare_loop": "a process pool, batch by batch, nothing stored",
    "process_pool": "a process pool, file by file",
    "celery_per_image": "one Celery task for each image",
    "ray_data": "Ray Data, nothing stored",
}
# Ways of this project.
OURS: Final = ("repeats_90", "repeats_30", "end_to_end")


def draw_plot(figures: Mapping[str, Any], path: Path) -> None:
    """Draw a bar for each of `WAYS` that was measured to an SVG file; the same figures give the same file."""
    # Here: it takes longer to load than all else that this is imported with.
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rates = {way: figures[name] for way in WAYS if (name := f"{way}_images_per_minute") in figures}
    colours = ["tab:blue" if way in OURS else "0.7" for way in rates]
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
        bars = axes.barh([WAYS[way] for way in rates], list(rates.values()), color=colours)
        axes.bar_label(bars, [f"{rate:,}" for rate in rates.values()], padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel=f"images a minute, {figures['cores']} cores, {', '.join(figures['devices'])}")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
