"""A study of real trainings through the command line: pre-training, fine-tuning, a factor, evaluations."""

import json

import pytest

from studies.command_line import app as cli

pytestmark = pytest.mark.once

STUDY = """
dataset = "digits"
sizes = [40]
seeds = 1
backends = ["torch"]  # whose processes start soonest
[recipe]
steps = 4
batch_size = 8
validations = 2
[evaluation]
shots = [1]
fewshot_seeds = 1
[models.vit]
base = "ViT-Ti/4"
overrides = {num_layers = 1, hidden_size = 8, mlp_dim = 8, num_heads = 2}
[pretraining]
objective = "masked_patches"
sizes = [60]
[finetuning]
recipe = {learning_rates = [0.01, 0.03]}
[factors.start]
scratch = {pretraining = false}
masked = {}
"""
FURTHER = """
[evaluations.neighbours]
kind = "nearest_neighbours"
options = {k = 3}
[evaluations.attention]
of = "pretraining"
options = {images = 4}
"""


@pytest.mark.timeout(900)
def test_a_chain_is_run_reported_and_evaluated_further_without_training_again(tmp_path, capfd):
    file, results = tmp_path / "mine.toml", tmp_path / "results"

    def studies(command):
        code = cli.main([command, str(file), "--results", str(results)])
        out, err = capfd.readouterr()
        assert code == 0, err
        return out

    def records():
        lines = (results / "mine" / "trials.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def trained():
        return {path: path.stat().st_mtime_ns for path in results.glob(".checkpoints/*/final.ckpt")}

    file.write_text(STUDY)
    studies("run")
    scratch, masked = records()
    assert [r["model"] for r in (scratch, masked)] == ["vit scratch", "vit masked"]
    assert (scratch["pretraining"], scratch["compute"]) == (None, 3 * scratch["flops"] * 4 * 8)
    assert masked["pretraining"]["objective"] == "masked_patches"
    assert masked["compute"] == 3 * masked["flops"] * (4 * 8 + 4 * 8)
    assert set(masked["rates"]) == {"0.01", "0.03"} and masked["base_model"] == "vit"
    before = trained()
    assert len(before) == 3  # from scratch, masked patches, and what was fine-tuned after them

    file.write_text(STUDY + FURTHER)
    out = studies("plan")
    assert "pre-training" in out and "2 x 4" in out and "digits masked 60" in out
    assert "5 trials, 2 done, 0 failed, 3 to run" in out
    studies("run")
    assert trained() == before
    found = {(r["model"], r["evaluation"]): r for r in records()}
    assert set(found) == {
        *((model, "standard") for model in ("vit scratch", "vit masked")),
        *((model, "neighbours") for model in ("vit scratch", "vit masked")),
        ("vit masked", "attention"),
    }
    assert 0 < found["vit masked", "attention"]["metrics"]["attention_distance"] < 12
    assert "knn_top1" in found["vit scratch", "neighbours"]["metrics"]
    assert "5 of 5 trials done" in studies("status")
    assert (results / "mine" / "report.md").exists()
