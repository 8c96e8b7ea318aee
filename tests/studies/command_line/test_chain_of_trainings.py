"""A study of real trainings through the command line: pre-training, fine-tuning, a factor, evaluations."""

import json

import pytest
from PIL import Image

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

    # The fine-tuned model is kept beside the other, and classifies images.
    kept = results / "mine" / "models"
    assert {path.stem for path in kept.glob("*.keras")} == {
        *("vit_scratch-40-seed0-torch", "vit_masked-60+40-seed0-torch")
    }
    Image.new("L", (20, 20), 90).save(tmp_path / "digit.png")
    model = kept / "vit_masked-60+40-seed0-torch.keras"
    assert cli.main(["predict", str(model), str(tmp_path / "digit.png"), "--backend", "torch"]) == 0
    _, answer = capfd.readouterr().out.splitlines()
    name, predicted, confidence = answer.split(",")
    assert (
        name == "digit.png" and predicted in map(str, range(10)) and 0.1 <= float(confidence) <= 1
    )

    file.write_text(STUDY + FURTHER)
    out = studies("plan")
    assert "pre-training" in out and "2 x 4" in out and "digits masked 60" in out
    assert "3 trials, 2 done, 0 failed, 1 to run" in out
    studies("run")
    assert trained() == before
    (*_, further) = records()
    assert (further["model"], further["evaluation"]) == ("vit masked", "attention")
    assert further["size"] == 60 and further["history"] == []
    assert 0 < further["metrics"]["attention_distance"] < 8 * 2**0.5
    assert "3 of 3 trials done" in studies("status")
    assert (results / "mine" / "report.md").exists()
