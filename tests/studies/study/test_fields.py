"""The table of fields and the file that `init` writes, against the classes themselves."""

import re
import tomllib
from pathlib import Path

import pytest

from studies.evaluation import evaluation_names
from studies.study import file as study_file
from studies.study.fields import EXAMPLE, fields, kinds, kinds_markdown, markdown, template

pytestmark = pytest.mark.once

README = Path(__file__).parents[3] / "README.md"


def settings(name: str) -> list[str]:
    """What it takes to set a field in a study of one model, as --set takes it."""
    return [name.replace("NAME", "vit").replace("SIDE", "64")]


def test_every_field_of_the_table_exists_and_defaults_are_those_of_an_empty_file():
    table = {field.name: field for field in fields()}
    assert {"recipe.steps", "reading.fit", "sizes", "models.NAME.base"} <= set(table)
    assert len(table) == len(list(fields())) and not {"data", "models.NAME.name"} & set(table)
    raw = tomllib.loads(EXAMPLE)
    study = study_file.validate({"name": "x", "models": raw["models"]}, "a test").model_dump()
    for name, field in table.items():
        if name.startswith(("models.", "evaluations.", "pretraining.", "factors.")):
            continue  # of tables that an empty file has none of
        if not field.default:
            continue
        value = study
        for key in name.split("."):
            value = value[key]
        assert tomllib.loads(f"v = {field.default}")["v"] == (
            list(value) if isinstance(value, tuple) else value
        ), name


def test_every_field_that_may_be_written_is_in_the_table():
    """What a wrong field's message lists, and the table lists: the same, from two sources."""
    listed = {field.name for field in fields()}
    for prefix, shown in (("", ""), ("recipe.", "recipe."), ("models.vit.", "models.NAME.")):
        raw = tomllib.loads(EXAMPLE + f"\n[{prefix}qqq]\n" if prefix else "qqq = 1\n" + EXAMPLE)
        with pytest.raises(Exception, match="allowed here") as error:
            study_file.validate({"name": "x", **raw}, "a test")
        allowed = str(error.value).partition("allowed here: ")[2].split(", ")
        tables = {"reading", "recipe", "evaluation", "evaluations", "models", "at"}
        tables |= {"pretraining", "finetuning", "factors", "resources"}
        assert {shown + name for name in allowed if name not in tables} == {
            name for name in listed if re.fullmatch(re.escape(shown) + "[a-z_0-9]+", name)
        }


def test_every_field_has_a_meaning():
    for field in fields():
        assert re.fullmatch(r"[A-Z].{10,}\.", field.meaning), field


def test_the_readme_has_the_table_as_it_is():
    assert markdown() in README.read_text(), (
        "put the output of studies.study.fields.markdown() there"
    )


def test_the_readme_has_the_kinds_of_evaluations_as_they_are():
    assert kinds_markdown() in README.read_text(), (
        "put the output of studies.study.fields.kinds_markdown() there"
    )
    listed = {kind.name.partition(".")[0] for kind in kinds()}
    assert listed == set(evaluation_names()) - {"standard"}
    for kind in kinds():
        assert re.fullmatch(r"[A-Za-z].{10,}\.", kind.meaning), kind


def test_the_template_is_the_example_and_comments():
    text = template()
    assert tomllib.loads(text) == tomllib.loads(EXAMPLE)
    assert len(EXAMPLE.splitlines()) == 10
    for field in fields():
        assert f"#   {field.name.rpartition('.')[2]}" in text
    study_file.validate({"name": "x", **tomllib.loads(text)}, "a test")


def test_the_readme_has_the_example_as_it_is():
    assert f"```toml\n{EXAMPLE.strip()}\n```" in README.read_text()
