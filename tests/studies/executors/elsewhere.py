"""What executors on other machines must do besides: train as this machine does."""

from studies.records.place import Here
from tests.studies.executors.contract import ExecutorContract


class ElsewhereContract(ExecutorContract):
    """Trials that are brought to their machine by an engine."""

    def test_a_trial_has_the_bits_that_it_has_locally(self, trained_here, tmp_path):
        each, here = trained_here
        elsewhere = record(self.make(1, 1, None), each, tmp_path)
        assert here["status"] == "done"
        for key in ("weights_sha256", "metrics", "history", "threads", "cores", "devices"):
            assert elsewhere[key] == here[key]


def record(executor, each, path):
    records = []
    executor.run(
        [each], Here(path), path / "logs", lambda _, event: records.append(event.get("record"))
    )
    return records[-1]
