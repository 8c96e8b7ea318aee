"""What is written to a results folder is whole or not there at all."""

import pytest

from studies.errors import UsageError
from studies.running.results_folder import write_study
from studies.study import file as study_file

pytestmark = pytest.mark.once


def test_a_study_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path):
    (tmp_path / "study.toml").mkdir()  # nothing can be renamed onto a folder
    with pytest.raises(UsageError, match=r"cannot write to the results folder .*--results"):
        write_study(study_file.resolve("quick", {}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
