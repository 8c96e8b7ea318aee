"""Studies as data: ids, the order of trials, and mistakes told in one sentence."""

import dataclasses
import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from studies.data.dataset import DatasetInfo
from studies.errors import UsageError
from studies.study import file as study_file
from studies.study import study as study_module
from studies.study import toml_files
from studies.study.described import ResolvedData
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from studies.study.strict import Neutral
from studies.study.trial import Trial
from tests.studies.descriptions import study_file as write
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once

INFO = DatasetInfo(
    name="none",
    fingerprint="ab",
    image_shape=(8, 8, 3),
    class_names=("a", "b", "c"),
    class_counts={"train": (9, 9, 9), "validation": (3, 3, 3), "test": (5, 5, 5)},
    official={"train": 36, "test": 15},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "mine.toml", "none", ("one", "two"))


def sentence(path: Path, options=None, settings=()) -> str:
    with pytest.raises(UsageError) as error:
        study_file.resolve(str(path), options or {}, settings)
    text = str(error.value)
    assert "\n" not in text
    return text


def test_the_grid_is_complete_with_seeds_outermost(path):
    study = study_file.resolve(str(path), {"seeds": 2, "backends": ["jax", "torch"]})
    trials = study.trials(INFO)
    assert [t.seed for t in trials] == [0] * 8 + [1] * 8
    assert [t.size for t in trials[:8]] == [3] * 4 + [6] * 4
    assert [t.model.name for t in trials[:4]] == ["one", "one", "two", "two"]
    assert [t.backend for t in trials[:2]] == ["jax", "torch"]
    assert len({t.trial_id for t in trials}) == 16
    assert trials[0].data_fingerprint == "ab" and trials[0].image_shape == (8, 8, 3)


def test_a_trial_survives_its_journey_as_json():
    each = trial(model=ModelEntry(name="m", base="b", overrides={"x": [1, 2], "y": 0.1}))
    back = Trial.model_validate_json(each.model_dump_json())
    assert back == each
    assert (back.trial_id, back.pretrain_id) == (each.trial_id, each.pretrain_id)


@pytest.mark.parametrize(
    ("change", "weights", "evaluated"),
    [
        ({"study": "other"}, False, False),
        ({"dataset": "moved"}, False, False),
        ({"evaluation": Evaluation(shots=(3,))}, False, True),
        ({"model": ModelEntry(name="renamed", base="ViT-Ti/4")}, False, True),
        ({"model": ModelEntry(name="done", base="ViT-S/4")}, True, True),
        ({"model": ModelEntry(name="done", base="ViT-Ti/4", overrides={"a": 1})}, True, True),
        ({"data_fingerprint": "1"}, True, True),
        ({"size": 11}, True, True),
        ({"seed": 1}, True, True),
        ({"backend": "jax"}, True, True),
        ({"devices": 2}, True, True),
        ({"model_parallel": 2}, True, True),
        ({"device_processes": 2}, True, True),
        ({"recipe": Recipe(steps=5, batch_size=4)}, True, True),
    ],
)
def test_ids_change_with_what_decides_weights_and_evaluation(change, weights, evaluated):
    model = ModelEntry(name="done", base="ViT-Ti/4")
    before, after = trial(model=model), trial(**{"model": model, **change})
    assert (before.pretrain_id != after.pretrain_id) == weights
    assert (before.trial_id != after.trial_id) == evaluated


def test_ids_hash_what_has_an_effect_and_nothing_else():
    """Spelled out: a field that is added later, with its neutral value, must not change this."""
    model = ModelEntry(
        name="done", base="ViT-Ti/4", overrides={"num_layers": 2, "weights": "x.npz"}
    )
    model = model.model_copy(update={"files": {"weights": "1234"}})
    recipe = Recipe(steps=4, batch_size=4, weight_decay=0, clip_norm=0, augmentation="none")
    weights = {
        "protocol": 2,
        "data": "0",
        "image_shape": [8, 8, 3],
        "num_classes": 3,
        "size": 10,
        "seed": 0,
        "backend": "tensorflow",
        "base": "ViT-Ti/4",
        "overrides": {"num_layers": 2, "weights": "1234"},  # the file's content, not its path
        "recipe": {
            "steps": 4,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "beta_1": 0.9,
            "beta_2": 0.999,
            "warmup_fraction": 0.1,
            "schedule": "cosine",
            "validations": 20,
        },
    }
    evaluation = {"shots": [1, 5, 10, 25], "fewshot_seeds": 3, "l2": 1024.0}
    each = trial(model=model, recipe=recipe)
    assert each.pretrain_id == digest(weights)
    assert each.trial_id == digest({**weights, "name": "done", "evaluation": evaluation})


def digest(value) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("schema", [Recipe, Evaluation])
def test_neutral_values_are_values_of_their_fields(schema):
    """A neutral value that the field cannot take would never be left out."""
    for name, field in schema.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Neutral):
                assert name not in schema(**{name: mark.value}).deciding()


def test_a_models_own_learning_rate_is_in_its_trials_recipe(path):
    settings = ["models.two.learning_rate=3e-4", "models.two.weight_decay=0"]
    study = study_file.resolve(str(path), {}, settings)
    one, two = study.trials(INFO)[:2]
    assert (one.recipe.learning_rate, one.recipe.weight_decay) == (1e-3, 0.1)
    assert (two.recipe.learning_rate, two.recipe.weight_decay) == (3e-4, 0.0)
    assert one.pretrain_id != two.pretrain_id


def test_a_recipe_is_the_papers_unless_told_otherwise():
    recipe = Recipe()
    assert (recipe.validations, recipe.warmup_fraction, recipe.augmentation) == (20, 0.1, "crop")
    assert (recipe.beta_1, recipe.beta_2, recipe.weight_decay) == (0.9, 0.999, 0.1)
    assert (recipe.schedule, recipe.clip_norm, recipe.label_smoothing) == ("cosine", 1.0, 0.0)


def test_options_and_settings_change_the_study(path):
    study = study_file.resolve(
        str(path),
        {"name": "x", "dataset": "d", "image_size": 9, "sizes": [7, 5, 5], "seeds": 4, "steps": 9},
        ["recipe.schedule=linear", 'recipe.augmentation="none"', "models.one.overrides.extra=[1]"],
    )
    assert (study.name, study.dataset, study.image_size) == ("x", "d", 9)
    assert (study.sizes, study.seeds, study.recipe.steps) == ((5, 7), 4, 9)
    assert (study.recipe.schedule, study.recipe.augmentation) == ("linear", "none")
    assert study.models["one"].overrides["extra"] == [1]


def test_what_is_set_of_a_model_holds_for_images_of_every_size():
    setting = "models.vit-s.overrides.mlp_dim=100"
    study = study_file.resolve("data-scale", {}, [setting, "models.vit-s.at.64.base=ViT-Ti/16"])
    entry = study.models["vit-s"]
    small, large = (entry.for_images(side, side) for side in (32, 64))
    assert small.overrides["mlp_dim"] == large.overrides["mlp_dim"] == 100
    assert (small.base, large.base) == ("ViT-Ti/4", "ViT-Ti/16")
    assert large.overrides["hidden_size"] == 64  # what is not set stays


@pytest.mark.parametrize(
    ("options", "settings", "sizes"),
    [
        ({}, [], (3, 6)),
        ({"dataset": "other"}, [], "auto"),
        ({}, ["dataset=other"], "auto"),
        ({"dataset": "other", "sizes": [3, 6]}, [], (3, 6)),
        ({"dataset": "other"}, ["sizes=[3, 6]"], (3, 6)),
        ({"sizes": "auto"}, [], "auto"),
    ],
)
def test_a_files_sizes_are_for_its_own_data(path, options, settings, sizes):
    assert study_file.resolve(str(path), options, settings).sizes == sizes


def test_sizes_and_seeds_follow_the_data(path):
    study = study_file.resolve(str(path), {"sizes": "auto", "seeds": "auto"})
    # 27 images in three classes: four sizes from all of them down to one image a class.
    grid = {(t.size, t.seed) for t in study.trials(INFO)}
    assert grid == {(size, seed) for size in (3, 7, 14, 27) for seed in range(5)}
    resolved = study.resolved(INFO)
    assert (resolved.sizes, resolved.seeds) == ((3, 7, 14, 27), 5)
    assert resolved.data.counts == INFO.counts
    assert resolved.trials(INFO) == study.trials(INFO)


@pytest.mark.parametrize(("size", "steps"), [(1, 1), (9, 3), (10, 4), (30, 10), (400, 100)])
def test_few_images_are_not_gone_through_more_often_than_the_limit(path, size, steps):
    settings = ["recipe.max_epochs=3", "recipe.batch_size=9", "recipe.steps=100"]
    study = study_file.resolve(str(path), {"sizes": [size]}, settings)
    each = study.trials(INFO)[0]
    assert each.recipe.steps == steps
    # The same training without a limit is the same trial.
    spelled = study_file.resolve(str(path), {"sizes": [size], "steps": steps}, settings[1:2])
    assert spelled.trials(INFO)[0].trial_id == each.trial_id


def test_a_models_shape_follows_the_images(path):
    settings = [
        "models.two.at.16={base='ViT-S/8'}",
        "models.two.at.64={base='ViT-B/8', overrides={num_layers=1}}",
    ]
    study = study_file.resolve(str(path), {}, settings)
    for side, base in ((8, "ViT-Ti/4"), (16, "ViT-S/8"), (63, "ViT-S/8"), (128, "ViT-B/8")):
        info = dataclasses.replace(INFO, image_shape=(side, side + 1, 3))
        model = study.trials(info)[1].model
        assert (model.name, model.base, model.at) == ("two", base, {})
        assert study.resolved(info).models["two"] == model
    assert model.overrides == {"num_layers": 1}


@pytest.mark.parametrize(
    ("options", "settings", "question", "expected"),
    [
        ({"sizes": [7], "steps": 3, "dataset": "none", "models": ["two", "one"]}, [], "Q", "E"),
        ({"dataset": "other"}, [], "", ""),
        ({"models": ["one"]}, [], "", ""),
        ({}, ["models.one.base=ViT-S/8"], "", ""),
        ({"dataset": "other"}, ["question=Mine?"], "Mine?", ""),
    ],
)
def test_what_a_file_asks_holds_for_its_own_data_and_models(
    tmp_path, options, settings, question, expected
):
    path = write(tmp_path / "a.toml", "none", ("one", "two"), question="'Q'", expected="'E'")
    study = study_file.resolve(str(path), options, settings)
    assert (study.question, study.expected) == (question, expected)


def test_models_are_entries_or_published_names(path):
    study = study_file.resolve(str(path), {"models": ["two", "BiT-R50x1"]})
    assert list(study.models) == ["two", "BiT-R50x1"]
    assert study.models["BiT-R50x1"].base == "BiT-R50x1"


def test_a_folder_is_resolved(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = study_file.resolve(str(path), {"dataset": "folder:images"})
    assert study.dataset == f"folder:{tmp_path / 'images'}"
    # No path is not the folder one happens to be in.
    assert study_file.resolve(str(path), {"dataset": "folder:"}).dataset == "folder:"


def test_a_written_study_reads_back_equal(path, tmp_path):
    study = study_file.resolve(
        str(path), {"models": ["one", "ViT-S/8"]}, ['question="a \\"b\\"\\n\\u007f"']
    )
    study = study.model_copy(update={"data": ResolvedData.of(INFO)})
    (tmp_path / "study.toml").write_text(study_file.to_toml(study))
    assert study_file.read_resolved(tmp_path) == study
    ids = [t.trial_id for t in study.trials(INFO)]
    assert [t.trial_id for t in study_file.read_resolved(tmp_path).trials(study.data)] == ids


@pytest.mark.parametrize("name", toml_files.built_in())
def test_built_in_studies_are_valid_and_open_with_what_they_are_about(name):
    study_file.resolve(name, {})
    first = list(tomllib.loads(toml_files.built_in()[name].read_text()))[:4]
    assert first == ["question", "command", "run_time", "expected"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("augmentation=none", ["unknown field augmentation", "'recipe.augmentation'"]),
        ("shot=[1]", ["unknown field shot", "'evaluation.shots'"]),
        ("recipe.sizes=[4]", ["unknown field recipe.sizes", "'sizes'"]),
        ("sizes=atuo", ["sizes must be a list or auto, not 'atuo'"]),
        ("seeds=few", ["seeds must be a whole number or auto, not 'few'"]),
        ("sizes=['x']", ["sizes: each must be a whole number, not 'x'"]),
        ("models.one.at.64.bse=1", ["models.one.at.64.base is missing"]),
        ("models.one.at.64={base='b', bse=1}", ["'base'", "allowed here: base, overrides"]),
        ("models.one.at.64={base='b'}", ["models.one.base", "'b'"]),
        ("recipe.stepz=4", ["recipe.stepz", "did you mean 'steps'", "batch_size"]),
        ("sizess=[4]", ["sizess", "did you mean 'sizes'"]),
        ("recipe.steps=0", ["recipe.steps", "at least 1", "not 0"]),
        ("recipe.steps=four", ["recipe.steps must be a whole number, not 'four'"]),
        ("recipe.learning_rate=high", ["recipe.learning_rate must be a number, not 'high'"]),
        ("recipe=4", ["recipe must be a table, not 4"]),
        ("models.one.overrides=4", ["models.one.overrides must be a table, not 4"]),
        ("backends=jax", ["backends must be a list, not 'jax'"]),
        ("dataset=4", ["dataset must be text, not 4"]),
        ("data.name=x", ["data tells what was found, and is not set"]),
        ("files.a=b", ["files tells what was found, and is not set"]),
        (
            "factors.a.b.recipe.steps=x",
            ["factors.a.b.recipe.steps must be a whole number, not 'x'"],
        ),
        ("factors.a.b.recipe.step=3", ["factors.a.b.recipe.step ", "did you mean 'steps'"]),
        ("factors.a.b.bse=3", ["factors.a.b.bse", "'base'", "allowed here: recipe, base"]),
        ("factors.a.b.base=ViT-Q/4", ["factors.a.b.base: ", "'ViT-Q/4'"]),
        ("factors.a.b.finetuning.method=all", ["factors.a.b.finetuning.method must be 'full'"]),
        ("factors.a.b.pretraining.sizes=x", ["factors.a.b.pretraining.sizes must be a list"]),
        ("factors.a.b.pretraining.size=[3]", ["factors.a.b.pretraining.size ", "'sizes'"]),
        ("pretraining.recipe.steps=x", ["pretraining.recipe.steps must be a whole number"]),
        ("finetuning.recipe.step=3", ["finetuning.recipe.step ", "did you mean 'steps'"]),
        ("recipe.schedule=cosin", ["recipe.schedule", "'cosine' or 'linear'", "'cosin'"]),
        ("recipe.augmentation=flip", ["recipe.augmentation", "'none', 'crop' or 'crop_flip'"]),
        ("recipe.learning_rate=inf", ["recipe.learning_rate", "finite"]),
        ("models.one.bse=1", ["models.one.bse", "did you mean 'base'", "overrides"]),
        ("models.three.base=1", ["'three'", "one, two"]),
        ("models.one.base=ViT-Q/4", ["models.one.base", "ViT-Q/4"]),
        ("seeds=0", ["seeds", "at least 1"]),
        ("sizes=[]", ["sizes", "empty"]),
        ("recipe.steps", ["key=value"]),
        ("question.x=1", ["question is a value"]),
        ("models=4", ["models", "not 4"]),
        ("evaluation.shots=[0]", ["evaluation.shots: each must be ", "at least 1"]),
        ("name=../x", ["name '../x'", "letters, digits"]),
        ("name=1979-05-27", ["name is the date 1979-05-27", "in quotes"]),
    ],
)
def test_a_wrong_setting_names_itself_and_what_is_allowed(path, setting, words):
    text = sentence(path, settings=[setting])
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    "table",
    [
        "models.one.overrides",
        "models.one.at.64.overrides",
        "evaluations.linear_probe.options",
        "pretraining.recipe",
        "finetuning.recipe",
        "factors.a.b.recipe",
        "factors.a.b.overrides",
        "factors.a.b.pretraining",
        "factors.a.b.finetuning",
    ],
)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1979-05-27", "is the date 1979-05-27, and a study has none"),
        ("1979-05-27T07:32:00Z", "is the date 1979-05-27 07:32:00+00:00"),
        ("07:32:00", "is the time 07:32:00"),
        ("[1, {y = 1979-05-27}]", "is the date 1979-05-27"),
        ("nan", "must be a finite number, not nan"),
        ("-inf", "must be a finite number, not -inf"),
        ("0x" + "f" * 5000, "must be a number of at most 64 bits"),
        ("'\udcff'", "must be text, not '\\udcff'"),
    ],
)
def test_a_table_for_anything_takes_what_json_has(path, table, value, words):
    """Or the trial could not be named by its content, or would be another one where it is trained."""
    base = ["models.one.at.64.base=ViT-S/8"] if ".at." in table else []
    text = sentence(path, settings=[*base, f"{table}.x={value}"])
    assert f"{path}: {table}.x" in text and words in text


def test_what_a_setting_says_has_an_end(path):
    assert "too many brackets" in sentence(
        path, settings=["models.one.overrides.x=" + "[" * 60 + "]" * 60]
    )
    assert "too many brackets" in sentence(
        path, settings=["models.one.overrides" + ".x" * 900 + "=1"]
    )
    assert "seeds: must be a number of at most 64 bits" in sentence(
        path, settings=["seeds=" + "9" * 5000]
    )
    assert "models is a value" in sentence(path, settings=["models=4", "models.one.base=ViT-S/8"])


def test_a_date_in_results_is_told_in_one_sentence(path, tmp_path):
    text = study_file.to_toml(study_file.resolve(str(path), {}))
    assert "hidden_size = 8" in text
    (tmp_path / "study.toml").write_text(
        text.replace("hidden_size = 8", "hidden_size = 1979-05-27")
    )
    with pytest.raises(UsageError, match=r"models\.one\.overrides\.hidden_size is the date"):
        study_file.read_resolved(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"models": ["onee"]}, ["'onee'", "did you mean 'one'", "one, two", "create_model"]),
        ({"models": []}, ["models", "empty"]),
        ({"backends": ["jx"]}, ["backend 'jx'", "did you mean 'jax'", "tensorflow, jax, torch"]),
        ({"sizes": [-1]}, ["sizes: each must be", "at least 1"]),
        ({"image_size": 0}, ["image_size", "at least 1"]),
    ],
)
def test_a_wrong_option_names_itself_and_what_is_allowed(path, options, words):
    text = sentence(path, options)
    assert all(word in text for word in words), text


def test_files_that_are_no_studies_are_named(tmp_path):
    assert "data-scale" in sentence(Path("data-scal")) and "did you mean" in sentence(
        Path("data-scal")
    )
    assert "missing.toml" in sentence(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [")
    assert "not valid TOML" in sentence(broken)
    incomplete = tmp_path / "incomplete.toml"
    incomplete.write_text("sizes = [4]")
    assert "models is missing" in sentence(incomplete) or "empty" in sentence(incomplete)
    json.dumps(sentence(incomplete))


@pytest.mark.parametrize(
    "name",
    ["", " a", "a  b", "a\nb", "a\x1b[2Jb", "gnp.\u202egpj", "a\u200bb", "\ud800", "a" * 101],
)
@pytest.mark.parametrize("place", ["models", "evaluations", "factors", "level"])
def test_names_show_as_they_are(path, name, place):
    raw = toml_files.read(str(path))
    level = {"recipe": {"steps": 3}}
    tables = {
        "models": {name: raw["models"]["one"]},
        "evaluations": {name: {"kind": "nearest_neighbours"}},
        "factors": {name: {"short": level}},
        "level": {"length": {name: level}},
    }
    content = {**raw, "factors" if place == "level" else place: tables[place]}
    with pytest.raises(UsageError, match=r"the name '.*' cannot be shown: use 1 to 100 characters"):
        study_file.validate(content, "mine.toml")


@pytest.mark.parametrize(
    ("one", "other"),
    [("vit s", "vit_s"), ("a/b", "a|b"), ("ViT", "vit"), ("ﬁt", "fit"), ("ｖit", "vit")],
)
def test_names_that_nobody_tells_apart_are_refused(path, one, other):
    entry = toml_files.read(str(path))["models"]["one"]
    with pytest.raises(UsageError, match="hard to tell apart, in a report and as names of files"):
        study_file.validate({"name": "a", "models": {one: entry, other: entry}}, "mine.toml")


def test_a_letter_that_can_be_typed_in_two_ways_is_one_letter(path):
    entry = toml_files.read(str(path))["models"]["one"]
    study = study_file.validate({"name": "a", "models": {"e\u0301": entry}}, "mine.toml")
    assert list(study.models) == ["\xe9"]


def test_results_are_read_under_the_names_that_they_were_made_with(path, tmp_path):
    """Also those which no study may have any more: ids hold them."""
    raw = toml_files.read(str(path))
    entry = raw["models"]["one"]
    names = ["a/b", "a_b", "e\u0301"]
    old = study_file.validate({**raw, "models": dict.fromkeys(names, entry)}, "old", results=True)
    (tmp_path / "study.toml").write_text(study_file.to_toml(old), encoding="utf-8")
    again = study_file.read_resolved(tmp_path)
    assert list(again.models) == [model.name for model in again.models.values()] == names
    assert [t.trial_id for t in again.trials(INFO)] == [t.trial_id for t in old.trials(INFO)]


@pytest.mark.parametrize(
    "name", ["con", "NUL.x", "com1", "a.", "..", "a/b", "/a", "-a", "a\n", "a" * 101]
)
def test_a_studys_name_is_a_folders_everywhere(path, name):
    assert "name" in sentence(path, {"name": name})


def test_a_study_without_end_is_refused_at_once(path):
    assert "at most 200,000" in sentence(path, {"seeds": 10**11})
    levels = {str(n): {"recipe": {"steps": n + 1}} for n in range(10)}
    raw = {**toml_files.read(str(path)), "factors": {str(n): levels for n in range(12)}}
    with pytest.raises(UsageError, match=r"has 2,000,000,000,000 trials or so: choose"):
        study_file.validate(raw, "mine.toml")
    assert "image_size must be at most 10000" in sentence(path, {"image_size": 10**9})


def test_the_trials_of_chains_are_counted_by_their_pre_trainings(path):
    """As many as are spelled out; a level's own sizes and evaluations count, too."""
    raw = {
        **toml_files.read(str(path)),
        "pretraining": {"sizes": [3, 4, 5]},
        "factors": {
            "start": {
                "pre": {},
                "scratch": {"pretraining": False},
                "one": {"pretraining": {"sizes": "all"}},
            }
        },
        "evaluations": {
            "probe": {"kind": "linear_probe", "of": "pretraining"},
            "neighbours": {"kind": "nearest_neighbours"},
        },
    }
    number = len(study_file.validate(raw, "mine.toml").trials(INFO))
    for most in (number, number - 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(study_module, "MOST_TRIALS", most)
            if most == number:
                study_file.validate(raw, "mine.toml")
            else:
                with pytest.raises(UsageError, match=f"has {number} trials or so"):
                    study_file.validate(raw, "mine.toml")
    raw["factors"]["start"]["pre"] = {"pretraining": {"sizes": list(range(1, 200_001))}}
    with pytest.raises(UsageError, match="at most 200,000"):
        study_file.validate(raw, "mine.toml")


def test_sizes_that_the_data_decide_are_counted_with_them(path, monkeypatch):
    study = study_file.resolve(str(path), {"sizes": "auto"})
    number = len(study.trials(INFO))
    monkeypatch.setattr(study_module, "MOST_TRIALS", number - 1)
    study = study_file.resolve(str(path), {"sizes": "auto"})
    with pytest.raises(UsageError, match=f"has {number} trials or so"):
        study.trials(INFO)


def test_a_module_is_loaded_only_where_the_command_line_says_so_too(path):
    path.write_text(path.read_text() + '\n[reading]\nimports = ["builders"]\n')
    assert "whose code would run: if you trust it, say so with --import builders" in sentence(path)
    study = study_file.resolve(str(path), {"imports": ["builders"]})
    assert study.reading.imports == ("builders",)


def test_a_study_is_about_one_of_its_evaluations(path):
    path.write_text('about = "looks"\n' + path.read_text())
    assert sentence(path).endswith("about: 'looks' is not among the evaluations (none)")
    path.write_text(path.read_text() + '[evaluations.looks]\nkind = "attention"\n')
    study = study_file.resolve(str(path), {}, ())
    assert study.about == "looks"
    assert study_file.validate(tomllib.loads(study_file.to_toml(study)), "a test").about == "looks"
