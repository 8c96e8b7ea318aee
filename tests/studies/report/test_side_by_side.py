"""Learning curves of several studies in one figure: what is drawn, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from studies.errors import UsageError
from studies.records.frames import read_results
from studies.report.side_by_side import main, side_by_side
from tests.studies.synthetic import make_records, make_study, write_folder

pytestmark = pytest.mark.once

SIZES = (500, 1000, 2000)


def study(folder, models):
    made = make_study(models=models, sizes=SIZES, name=folder.name)
    return write_folder(folder, made, make_records(made), outcomes=True)


@pytest.fixture
def folders(tmp_path):
    return [
        study(tmp_path / "a", ["vit-s", "bit-s", "vit-m"]),
        study(tmp_path / "b", ["bit-s", "vit-s"]),
    ]


def curves(ax):
    return {
        line.get_label(): line for line in ax.get_lines() if len(line.get_xdata()) == len(SIZES)
    }


def test_every_panel_has_the_curves_that_all_have_in_the_same_looks(folders):
    read = [read_results(folder) for folder in folders]
    panels = side_by_side(read).axes
    assert [set(curves(ax)) for ax in panels] == [{"vit-s", "bit-s"}] * 2
    for model in ("vit-s", "bit-s"):
        lines = [curves(ax)[model] for ax in panels]
        assert len({line.get_color() for line in lines}) == 1
        for line, results in zip(lines, read, strict=True):
            frame = results.frame[results.frame["model"] == model]
            means = frame.groupby("size")["test_top1"].mean()
            np.testing.assert_allclose(line.get_ydata(), means, atol=1e-12)
    assert panels[1].get_title().startswith("fashion_mnist\nmean and 90 % interval")


def test_the_figure_is_written(folders, tmp_path, capsys):
    path = tmp_path / "new" / "both.png"
    assert main([*map(str, folders), "--models", "bit-s", "--output", str(path)]) == 0
    assert Image.open(path).size[0] > 1000 and str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    "models, words",
    [("vit-s,vit-m", "'vit-m' is not in all of these studies: they share vit-s, bit-s.")],
)
def test_a_model_that_is_not_in_all_is_refused(folders, models, words, capsys):
    assert main([*map(str, folders), "--models", models, "--output", "x.png"]) == 2
    assert words in capsys.readouterr().err


def test_nothing_in_common_is_refused(tmp_path):
    one, other = study(tmp_path / "a", ["vit-s"]), study(tmp_path / "b", ["bit-s"])
    with pytest.raises(UsageError, match="no model in common"):
        side_by_side([read_results(one), read_results(other)])


def test_another_axis_is_refused(folders):
    results = read_results(folders[0])
    other = replace(results, study=results.study.model_copy(update={"x": "compute"}))
    with pytest.raises(UsageError, match="compute along its axis"):
        side_by_side([results, other])
