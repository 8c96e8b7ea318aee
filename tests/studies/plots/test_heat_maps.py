"""Confusion matrices: whose rows are labels, in percent, names where they fit."""

import io

import numpy as np
import pytest

from studies.plots.heat_maps import confusion_matrices

pytestmark = pytest.mark.once


def values(ax):
    mesh = ax.collections[0].get_array()
    return np.ma.filled(mesh.astype(float), np.nan)


def test_rows_are_labels_and_cells_percent():
    matrix = np.array([[0.9, 0.096, 0.004], [0.25, 0.75, 0.0], [np.nan, np.nan, np.nan]])
    axes = confusion_matrices([matrix, np.eye(3)], ["vit", "bit"], ["ok", "defect", "none there"])
    axes[0].figure.savefig(io.BytesIO(), format="png")
    np.testing.assert_allclose(values(axes[0]).reshape(3, 3)[:2], 100 * matrix[:2])
    written = [text.get_text() for text in axes[0].texts]
    assert [text for text in written if text] == ["90", "10", "25", "75"]
    # Label 0 is the row on top.
    tops = [t.get_position()[1] for t in axes[0].get_yticklabels()]
    names = [t.get_text() for t in axes[0].get_yticklabels()]
    assert names == ["ok", "defect", "none there"]
    bottom, top = axes[0].get_ylim()
    assert bottom > top and tops == sorted(tops)
    assert [ax.get_title() for ax in axes] == ["vit", "bit"]
    assert axes[0].get_ylabel() == "label" and axes[1].get_xlabel() == "predicted class"


def test_many_classes_are_drawn_without_numbers_and_very_many_without_names():
    names = [f"a class with a long name {i}" for i in range(60)]
    few = confusion_matrices([np.eye(30)], ["m"], names[:30])[0]
    assert not few.texts and len(few.get_yticklabels()) == 30
    assert all(len(label.get_text()) <= 16 for label in few.get_yticklabels())
    many = confusion_matrices([np.eye(60)], ["m"], names)[0]
    many.figure.savefig(io.BytesIO(), format="png")
    assert not many.get_yticklabels()
