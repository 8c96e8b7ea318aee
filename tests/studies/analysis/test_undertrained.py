import numpy as np
import pytest

from studies.analysis.undertrained import EPOCHS, judge_training

pytestmark = pytest.mark.once

# Recorded curves: validation accuracy and training loss of a ViT at 50,000 images of Fashion-MNIST,
# 6,000 steps (twice the steps bought 0.7 points), and of a ResNet at 2,000 drawn images, 800 steps.
VIT_ACCURACY = [
    [
        0.7178,
        0.776,
        0.8013,
        0.8097,
        0.8302,
        0.8437,
        0.8368,
        0.8443,
        0.8667,
        0.8655,
        0.8737,
        0.862,
        0.881,
        0.8822,
        0.8847,
        0.8912,
        0.8902,
        0.8943,
        0.8963,
        0.896,
    ],
    [
        0.749,
        0.7657,
        0.8135,
        0.8355,
        0.8365,
        0.8482,
        0.8498,
        0.852,
        0.8635,
        0.8667,
        0.8682,
        0.8713,
        0.8757,
        0.883,
        0.8803,
        0.8898,
        0.8912,
        0.8887,
        0.8913,
        0.8912,
    ],
    [
        0.7642,
        0.7777,
        0.808,
        0.8192,
        0.8295,
        0.8212,
        0.844,
        0.853,
        0.85,
        0.871,
        0.8637,
        0.8738,
        0.8777,
        0.8807,
        0.885,
        0.8893,
        0.8893,
        0.8943,
        0.8955,
        0.8965,
    ],
]
VIT_LOSS = [
    [
        1.409,
        0.713,
        0.58,
        0.511,
        0.498,
        0.441,
        0.451,
        0.424,
        0.38,
        0.382,
        0.352,
        0.327,
        0.325,
        0.286,
        0.282,
        0.262,
        0.237,
        0.227,
        0.215,
        0.207,
    ],
    [
        1.366,
        0.648,
        0.588,
        0.509,
        0.478,
        0.449,
        0.429,
        0.408,
        0.381,
        0.371,
        0.345,
        0.338,
        0.317,
        0.277,
        0.278,
        0.254,
        0.235,
        0.227,
        0.208,
        0.205,
    ],
    [
        1.399,
        0.681,
        0.582,
        0.539,
        0.486,
        0.455,
        0.449,
        0.421,
        0.398,
        0.385,
        0.345,
        0.332,
        0.332,
        0.289,
        0.277,
        0.268,
        0.24,
        0.231,
        0.219,
        0.212,
    ],
]
RESNET_ACCURACY = [
    [0.21, 0.4125, 0.5215, 0.5635],
    [0.2365, 0.5075, 0.606, 0.631],
    [0.189, 0.402, 0.474, 0.507],
]
RESNET_LOSS = [
    [2.206, 1.859, 1.484, 1.332],
    [2.225, 1.664, 1.266, 1.139],
    [2.281, 1.966, 1.554, 1.397],
]


def history(values, losses=None, steps=1000):
    losses = np.linspace(2, 1, len(values)) if losses is None else losses
    at = np.linspace(steps / len(values), steps, len(values))
    return [
        {"step": int(s), "loss": float(x), "val_top1": float(v)}
        for s, x, v in zip(at, losses, values, strict=True)
    ]


def test_gain_and_fall_of_the_last_quarter():
    # Four validations: the last quarter is the last step, 0.60 - 0.55 and 0.57 - 0.54; the losses
    # fall by a third of the way from 2 to 1 each time.
    found = judge_training(
        [history([0.1, 0.5, 0.55, 0.60]), history([0.1, 0.5, 0.54, 0.57])], 100, 1000, 10
    )
    assert found.gain == pytest.approx(0.04) and found.fall == pytest.approx(1 / 3)
    # Gains of 0.05 and 0.03: standard error 0.0141 / sqrt(2) = 0.01.
    assert found.noise == pytest.approx(0.01) and found.epochs == 100
    # 0.04 - 1.645 x 0.01 is above a point.
    assert found.undertrained and "still gained 4.0 points" in found.reason


def test_a_gain_within_the_noise_is_none():
    found = judge_training(
        [history([0.1, 0.5, 0.55, 0.60]), history([0.1, 0.5, 0.54, 0.55])], 100, 1000, 10
    )
    assert found.gain > 0.02 and not found.undertrained and found.reason == ""


def test_a_gain_without_a_falling_loss_is_no_learning():
    values, flat = [0.1, 0.5, 0.5, 0.55], [2, 1, 0.5, 0.495]
    curves = [history(values, flat), history([v + 0.001 for v in values], flat)]
    assert not judge_training(curves, 100, 1000, 10).undertrained


def test_one_curves_own_jitter_is_its_noise(rng):
    jitter = rng.normal(0, 0.003, 40)
    found = judge_training([history(0.8 + jitter)], 100, 1000, 10)
    # A gain is the difference of two values: sqrt(2) x 0.003.
    assert found.noise == pytest.approx(0.0042, rel=0.4)
    rising = 0.5 + np.linspace(0, 0.3, 40) + jitter  # 7.5 points in the last quarter
    assert judge_training([history(rising)], 100, 1000, 10).undertrained


def test_one_short_curve_tells_nothing_of_its_noise():
    found = judge_training([history([0.1, 0.3, 0.5, 0.7])], 100, 1000, 10)
    assert np.isnan(found.noise) and not found.undertrained


def test_too_few_epochs():
    found = judge_training([], 10_000, 1000, 32)
    assert found.undertrained and "only 3.2 times" in found.reason and np.isnan(found.gain)
    assert not judge_training([], 10_000, 1000, int(10 * EPOCHS)).undertrained


def test_from_trained_weights_few_epochs_are_enough_unless_it_still_gains():
    found = judge_training([], 10_000, 1000, 32, from_scratch=False)
    assert not found.undertrained and found.reason == "" and found.epochs == 3.2
    curves = [history([0.1, 0.5, 0.55, 0.60]), history([0.1, 0.5, 0.54, 0.57])]
    found = judge_training(curves, 10_000, 1000, 32, from_scratch=False)
    assert found.undertrained and found.reason.startswith("still gained 4.0 points")
    assert "only" not in found.reason


@pytest.mark.parametrize(
    "entries",
    [
        [],
        history([0.5]),
        [{"step": 1000, "loss": 1.0, "val_top1": None}, {"step": 500}],
        [{"step": 500, "loss": float("nan"), "val_top1": 0.5}, *history([0.9])],
    ],
)
def test_curves_without_a_last_quarter_say_nothing(entries):
    found = judge_training([entries, entries], 100, 1000, 10)
    assert np.isnan(found.gain) and not found.undertrained


def test_a_recorded_curve_whose_end_is_noise():
    curves = [history(v, x, 6000) for v, x in zip(VIT_ACCURACY, VIT_LOSS, strict=True)]
    found = judge_training(curves, 50_000, 6000, 64)
    assert 0.010 < found.gain < 0.012 and 0.001 < found.noise < 0.004
    assert not found.undertrained


def test_a_recorded_curve_that_was_cut_short():
    curves = [history(v, x, 800) for v, x in zip(RESNET_ACCURACY, RESNET_LOSS, strict=True)]
    assert judge_training(curves, 2000, 800, 64).undertrained
