"""What further evaluations measured: means and intervals, in tables and small figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from studies.analysis.seed_intervals import accuracy_interval, mean_interval
from studies.evaluation import unit_of
from studies.plots.metrics import MetricPanel, labels_of, metric_curves
from studies.plots.style import legend_of_figure
from studies.records.evaluations import evaluations_frame, metrics_of, shown
from studies.records.frames import Results
from studies.records.soundness import is_share
from studies.report.axes import x_axis
from studies.report.markup import plain
from studies.report.tables import markdown_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MOST_PANELS = 12
_DIGITS = 4


def evaluation_means(results: Results, backend: str, level: float) -> pd.DataFrame:
    """Mean over seeds and its interval of every metric.

    Columns: evaluation, metric, arm, curve, size (NaN: of the pre-trained model), x, seeds, mean, low, high.

    Args:
        results: the folder's content.
        backend: whose records count.
        level: confidence.
    """
    import pandas as pd

    frame = evaluations_frame(results)
    frame = frame[frame["backend"] == backend]
    rows: list[dict[str, Any]] = []
    keys = ["evaluation", "arm", "curve", "size", "x"]
    for key, group in frame.groupby(keys, dropna=False, sort=False):
        place: dict[str, Any] = dict(zip(keys, key, strict=True))
        for metric in metrics_of(group, str(place["evaluation"])):
            interval = accuracy_interval if is_share(metric) else mean_interval
            found = interval(group[metric].to_list(), level)
            if found.seeds:
                ends = {"mean": found.mean, "low": found.low, "high": found.high}
                rows.append({**place, "metric": metric, "seeds": found.seeds, **ends})
    columns = ["evaluation", "metric", "arm", "curve", "size", "x", "seeds", "mean", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    order = {name: place for place, name in enumerate(results.arms)}
    by = ["evaluation", "metric", "arm", "size"]
    return table.sort_values(
        by, key=lambda c: c.map(order) if c.name == "arm" else c, kind="stable", ignore_index=True
    )


def evaluations_text(results: Results, means: pd.DataFrame, level: float) -> str:
    """The section of a report; nothing where there are no further evaluations."""
    if not len(means):
        return ""
    parts = [
        f"## Further evaluations\n\nMean over seeds, with {100 * level:g} % intervals over seeds alone; all "
        f"metrics are in [evaluations.csv](evaluations.csv)."
    ]
    for name, mine in means.groupby("evaluation", sort=False):
        metrics = shown(list(dict.fromkeys(mine["metric"])))
        rows = [["arm", "images", *metrics]]
        for (arm, size), group in mine.groupby(["arm", "size"], dropna=False, sort=False):
            cells = {row.metric: _cell(row) for row in group.itertuples()}
            images = "pre-trained model" if math.isnan(size) else f"{int(size):,}"
            rows.append([str(arm), images, *(cells.get(metric, "-") for metric in metrics)])
        parts += [f"### {plain(str(name))}", markdown_table(rows)]
    return "\n\n".join(parts)


def draw_evaluations(results: Results, means: pd.DataFrame, level: float) -> Figure | None:
    """A panel for each metric and number of training images, over the study's axis."""
    mine = means[means["metric"].isin(shown(list(means["metric"])))]
    over_images = results.axis.name == "images"
    panels = []
    for (name, metric), group in mine.groupby(["evaluation", "metric"], sort=False):
        title = metric if metric.startswith(name) else f"{name}: {metric}"
        known = sorted({float(size) for size in group["size"].dropna()})
        sizes = known if known and not over_images else [None]
        for size in sizes:
            own = group if size is None else group[group["size"].isna() | (group["size"] == size)]
            told = size is not None and len(sizes) > 1
            drawn = own[["curve", "x", "mean", "low", "high"]]
            drawn = drawn.rename(columns={"curve": "model", "x": "size"})
            title_of = f"{title}\n{size:,.0f} images" if told else title
            panels.append(MetricPanel(title_of, drawn, unit_of(_kind(results, str(name)), metric)))
    if not panels:
        return None
    curves = list(dict.fromkeys(mine["curve"]))
    axes = metric_curves(panels[:_MOST_PANELS], curves, x_axis(results))
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    caption = f"mean and {100 * level:g} % interval over seeds alone"
    legend_of_figure(figure, list(labels_of(axes).values()), caption)
    return figure


def _kind(results: Results, name: str) -> str:
    """Which evaluation an entry of the study's is."""
    entry = results.study.evaluations.get(name)
    return entry.kind or name if entry is not None else name


def _cell(row: Any) -> str:
    mean = f"{row.mean:.{_DIGITS}g}"
    return (
        mean if math.isnan(row.low) else f"{mean} ({row.low:.{_DIGITS}g} to {row.high:.{_DIGITS}g})"
    )
