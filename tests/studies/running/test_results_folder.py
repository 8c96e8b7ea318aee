"""What is written to a results folder is whole or not there at all."""

import tomllib
from pathlib import Path

import pytest

from studies.errors import UsageError
from studies.machine.files import file_digest
from studies.running.results_folder import continued, make_folder, merge, write_study
from studies.running.runner import with_digests
from studies.study import file as study_file
from studies.study.described import ResolvedData
from tests.studies.descriptions import study_file as study_file_of

pytestmark = pytest.mark.once


def test_a_study_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path):
    (tmp_path / "study.toml").mkdir()  # nothing can be renamed onto a folder
    with pytest.raises(UsageError, match=r"cannot write to the results folder .*--results"):
        write_study(study_file.resolve("quick", {}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def with_weights(path):
    study = study_file.resolve("quick", {}, [f"models.vit-xs.overrides.weights={path}"])
    return with_digests(study)


def test_a_file_of_weights_is_known_by_its_content_wherever_it_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moved").mkdir()
    for name, content in (("a.npz", b"one"), ("moved/b.npz", b"one"), ("c.npz", b"two")):
        (tmp_path / name).write_bytes(content)
    old, moved = with_weights("a.npz"), with_weights("moved/b.npz")
    assert old.models["vit-xs"].overrides["weights"] == str(tmp_path / "a.npz")
    merged = merge(old, moved, tmp_path)
    assert merged.models["vit-xs"].overrides["weights"] == str(tmp_path / "moved" / "b.npz")
    with pytest.raises(
        UsageError, match=r"of other weights of model 'vit-xs' than .*c\.npz holds now"
    ):
        merge(old, with_weights("c.npz"), tmp_path)
    (tmp_path / "a.npz").write_bytes(b"three")
    with pytest.raises(
        UsageError, match=r"of other weights of model 'vit-xs' than .*a\.npz holds now"
    ):
        merge(old, with_weights("a.npz"), tmp_path)


CHAIN = {
    "name": "x",
    "models": {"vit": {"base": "ViT-Ti/4"}},
    "pretraining": {"sizes": [10], "recipe": {"steps": 5}},
    "finetuning": {"recipe": {"steps": 3}},
    "factors": {"start": {"scratch": {"pretraining": False}, "labels": {}}},
    "evaluations": {"neighbours": {"kind": "nearest_neighbours"}},
}


def chain(**changes):
    return study_file.validate({**CHAIN, **changes}, "a test")


def test_levels_evaluations_and_sizes_of_the_pre_training_may_be_added(tmp_path):
    factors = {"start": {"labels": {}, "masked": {"pretraining": {"objective": "masked_patches"}}}}
    more = {
        "pretraining": {**CHAIN["pretraining"], "sizes": [20]},
        "factors": factors,
        "evaluations": {"probe": {"kind": "linear_probe"}},
    }
    merged = merge(chain(), chain(**more), tmp_path)
    assert merged.pretraining.sizes == (10, 20)
    assert list(merged.factors["start"]) == ["scratch", "labels", "masked"]
    assert list(merged.evaluations) == ["neighbours", "probe"]
    assert list(merged.arms) == ["vit scratch", "vit labels", "vit masked"]
    assert merge(merged, chain(), tmp_path).factors == merged.factors


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pretraining": None}, r"of another pre-training \(one, not none\)"),
        ({"pretraining": {"sizes": [10], "recipe": {"steps": 6}}}, "of another pre-training"),
        ({"pretraining": {"recipe": {"steps": 5}}}, r"pre-training \(sizes \(10,\), not sizes all"),
        ({"finetuning": {"method": "lora"}}, r"fine-tuning \(method full, not lora\)"),
        ({"factors": {}}, r"factors \(start, not none\)"),
        (
            {"factors": {"start": {"labels": {"recipe": {"steps": 4}}}}},
            "level 'labels' of factor 'start'",
        ),
        (
            {"evaluations": {"neighbours": {"kind": "nearest_neighbours", "options": {"k": 3}}}},
            "evaluation 'neighbours'",
        ),
        ({"design": "one_at_a_time"}, r"design \(grid, not one_at_a_time\)"),
        ({"devices": 2}, r"number of devices \(1, not 2\)"),
        ({"model_parallel": 2}, r"model_parallel \(1, not 2\)"),
        ({"device_processes": 2}, r"device_processes \(1, not 2\)"),
    ],
)
def test_what_would_make_other_trials_of_the_same_names_is_refused(tmp_path, changes, told):
    raw = {key: value for key, value in {**CHAIN, **changes}.items() if value is not None}
    with pytest.raises(UsageError, match=told) as error:
        merge(chain(), study_file.validate(raw, "a test"), tmp_path)
    assert "--name" in str(error.value) and "\n" not in str(error.value)


def test_other_resources_are_no_other_results(tmp_path):
    merged = merge(chain(), chain(resources={"threads": 2, "memory": "4GB"}), tmp_path)
    assert merged.resources.threads == 2


def test_the_base_of_one_factor_at_a_time_stays(tmp_path):
    old = chain(design="one_at_a_time")
    other = chain(design="one_at_a_time", factors={"start": {"labels": {}}})
    with pytest.raises(UsageError, match="first level of factor 'start'"):
        merge(old, other, tmp_path)


def test_weights_to_start_from_are_known_by_their_content(tmp_path):
    studies = []
    for name, content in (("a.npz", b"one"), ("b.npz", b"one"), ("c.npz", b"two")):
        (tmp_path / name).write_bytes(content)
        given = {"objective": "none", "weights": str(tmp_path / name)}
        level = {"start": {"given": {"pretraining": {"weights": str(tmp_path / name)}}}}
        studies.append(with_digests(chain(pretraining=given, factors=level)))
    old, moved, other = studies
    assert old.files == {str(tmp_path / "a.npz"): file_digest(tmp_path / "a.npz")}
    assert merge(old, moved, tmp_path).pretraining.weights == str(tmp_path / "b.npz")
    with pytest.raises(UsageError, match="of another pre-training"):
        merge(old, other, tmp_path)


def test_a_module_of_earlier_results_is_not_loaded_unless_it_is_asked_for(tmp_path):
    old = study_file.resolve("quick", {"imports": ["builders"]})
    with pytest.raises(UsageError, match=r"'builders', whose code would run: .*--import builders"):
        continued(old, study_file.resolve("quick", {}), tmp_path)
    again = continued(old, study_file.resolve("quick", {"imports": ["builders"]}), tmp_path)
    assert again.reading.imports == ("builders",)


DATA = ResolvedData(
    name="none",
    fingerprint="ab",
    image_shape=(28, 28, 1),
    num_classes=10,
    counts={"train": 1258, "validation": 269, "test": 270},
)
TRANSFER = {"models": ["bit-s", "ViT-Ti/7"], "backends": ["jax"], "sizes": [500], "seeds": 1}
OF_THEM = ["pretraining.sizes=[1000]", 'pairs=[["ViT-Ti/7 scratch", "bit-s scratch"]]']


def goes_on(study, began, options, settings=(), folder="there"):
    """The study that a command goes on with where another one began, and the folder's after it."""
    old = study_file.resolve(study, *began).resolved(DATA, {"shapes at 28": DATA})
    new = continued(old, study_file.resolve(study, options, settings), Path(folder))
    merged = merge(old, new.resolved(DATA, {"shapes at 28": DATA}), Path(folder))
    study_file.validate(tomllib.loads(study_file.to_toml(merged)), "study.toml", results=True)
    return new, merged


@pytest.mark.parametrize(
    ("options", "settings", "changed"),
    [
        ({}, [], {}),
        ({"seeds": 3}, [], {"seeds": 3}),
        ({"sizes": [1000]}, [], {"sizes": (1000,)}),
        ({"backends": ["torch"]}, [], {"backends": ("torch",)}),
        ({"models": ["vit-s"]}, [], {"models": ["vit-s"]}),
        ({}, ['backends=["torch"]'], {"backends": ("torch",)}),
        ({}, ["seeds=3", "sizes=[500, 5000]"], {"seeds": 3, "sizes": (500, 5000)}),
        ({}, ["pretraining.sizes=[10000]"], {"before": (10000,)}),
        # What is set of a model names that one, and does not leave out the others.
        ({}, ["models.bit-s.overrides.groups=4"], {}),
        ({}, ["models.vit-s.weight_decay=0.2"], {"models": ["bit-s", "ViT-Ti/7", "vit-s"]}),
    ],
)
def test_what_a_built_in_study_proposes_adds_nothing_to_a_folder(options, settings, changed):
    new, merged = goes_on("transfer", (TRANSFER, OF_THEM), options, settings)
    found = {"models": list(new.models), "backends": new.backends, "sizes": new.sizes}
    found |= {"seeds": new.seeds, "before": new.pretraining.sizes}
    kept = {"models": TRANSFER["models"], "backends": ("jax",), "sizes": (500,)}
    assert found == {**kept, "seeds": 1, "before": (1000,), **changed}
    if "models" not in changed:
        assert new.pairs == merged.pairs == (("ViT-Ti/7 scratch", "bit-s scratch"),)
        assert merged.question == ""  # which is of other models than the folder's


def test_all_that_the_command_line_names_at_first_is_the_folders():
    new, merged = goes_on("quick", ({"backends": ["jax"]},), {"seeds": 5})
    assert list(new.models) == ["vit-xs", "bit-xs"] and merged.question.startswith("A first look")
    assert (new.backends, new.seeds, new.sizes) == (("jax",), 5, (60, 150, 400, 1200))


def test_what_is_set_of_a_folders_own_model_must_be_as_it_was():
    with pytest.raises(UsageError, match=r"of another model 'bit-s' \(overrides"):
        goes_on("transfer", (TRANSFER,), {}, ["models.bit-s.overrides.groups=2"])


def test_pairs_of_models_that_a_folder_has_not_are_refused():
    pairs = ['pairs=[["vit-s scratch", "bit-s scratch"]]']
    with pytest.raises(UsageError, match=r"'vit-s scratch' is not among .* with --models"):
        goes_on("transfer", (TRANSFER,), {}, pairs)
    assert (
        len(goes_on("transfer", (TRANSFER,), {"models": ["vit-s", "bit-s"]}, pairs)[1].pairs) == 1
    )


def test_a_file_of_ones_own_names_what_is_in_it(tmp_path):
    path = str(study_file_of(tmp_path / "mine.toml", "none", ("one", "two"), image_size=28))
    new, _ = goes_on(path, ({"models": ["one"], "backends": ["jax"], "sizes": [3]},), {})
    assert (list(new.models), new.backends, new.sizes) == (["one", "two"], ("tensorflow",), (3, 6))
    text = Path(path).read_text()
    Path(path).write_text(
        text.replace('backends = ["tensorflow"]\n', "").replace("\nseeds = 1\n", "\n")
    )
    new, merged = goes_on(path, ({"models": ["one"], "backends": ["jax"], "seeds": 2},), {})
    assert (new.backends, new.seeds) == (merged.backends, merged.seeds) == (("jax",), 2)


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "models").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="models in it is a link: make it a folder, or remove it"):
        make_folder(tmp_path / "run")


def test_weights_that_levels_name_are_known_by_their_content(tmp_path):
    studies = []
    for name, content in (("a.npz", b"one"), ("b.npz", b"one"), ("c.npz", b"two")):
        (tmp_path / name).write_bytes(content)
        level = {"start": {"given": {"overrides": {"weights": str(tmp_path / name)}}}}
        studies.append(with_digests(chain(factors=level)))
    old, moved, other = studies
    assert old.files == {str(tmp_path / "a.npz"): file_digest(tmp_path / "a.npz")}
    assert merge(old, moved, tmp_path).files == old.files | moved.files
    with pytest.raises(UsageError, match="of another level 'given'"):
        merge(old, other, tmp_path)


def test_an_evaluation_may_later_be_of_further_models(tmp_path):
    def of(*models):
        entry = {"kind": "nearest_neighbours", "models": list(models)}
        return chain(evaluations={"knn": entry})

    assert merge(of("vit"), of("bit"), tmp_path).evaluations["knn"].models == ("vit", "bit")
    assert merge(of(), of("bit"), tmp_path).evaluations["knn"].models == ()
