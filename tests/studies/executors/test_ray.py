"""Ray: the contract on a cluster of two machines on loopback, one of which dies, and a cluster of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from studies.errors import UsageError
from studies.executors.ray import RayExecutor, joined
from studies.executors.resources import Resources
from studies.records.place import Here
from tests.studies.descriptions import trial
from tests.studies.executors.contract import alive, descendants, wait_for
from tests.studies.executors.elsewhere import ElsewhereContract
from tests.studies.fake_trial import COMMAND

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of-these-tests-" + 32 * "0"}
pytestmark = [pytest.mark.once, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def cluster():
    """Two machines that ask for a token; the driver has joined them, others may by RAY_TEST_ADDRESS."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        for name, value in TOKEN.items():
            environment.setenv(name, value)
        machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
        machines.add_node(num_cpus=2)
        environment.setenv("RAY_TEST_ADDRESS", machines.address)
        try:
            with joined(machines.address, Resources()):
                yield machines
        finally:
            machines.shutdown()


@pytest.mark.usefixtures("cluster")
class TestRayExecutor(ElsewhereContract):
    IMPORTS = """
import os
from studies.executors.ray import joined
from studies.executors.resources import Resources
"""
    EXECUTOR = "joined(os.environ['RAY_TEST_ADDRESS'], Resources(), 2, COMMAND)"

    def make(self, workers, threads, command):
        return RayExecutor(None, Resources(threads), workers, command)

    def test_an_interruption_leaves_no_process_behind(self, tmp_path):
        def interrupt(each, event):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.make(1, 1, COMMAND).run(
                [trial("hangs")], Here(tmp_path), tmp_path / "l", interrupt
            )
        assert not any(alive(int(path.read_text())) for path in tmp_path.glob("*.pid"))

    @pytest.mark.parametrize("token", [{"RAY_AUTH_TOKEN": 48 * "1"}, {"RAY_AUTH_MODE": "disabled"}])
    def test_a_cluster_lets_nobody_in_without_its_token(self, cluster, token):
        script = f"""
from studies.errors import UsageError
from studies.executors.ray import joined
from studies.executors.resources import Resources
try:
    with joined({cluster.address!r}, Resources()):
        print("in")
except UsageError as error:
    print(error)
"""
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **token},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "give the cluster's token by RAY_AUTH_MODE=token" in done.stdout, done

    def test_nobody_is_told_that_ray_is_used(self):
        from ray._common.usage import usage_lib

        assert not usage_lib.usage_stats_enabled()

    @pytest.mark.parametrize("dies", ["worker", "machine"])
    def test_what_dies_at_work_is_run_again_elsewhere(self, cluster, tmp_path, dies):
        machines = [cluster.add_node(num_cpus=3)]

        def kill(each, event):
            if not events:  # its first start
                own = tmp_path / f"{each.trial_id}.pid"
                pid = wait_for(lambda: own.exists() and int(own.read_text() or 0))
                worker = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                if dies == "worker":
                    os.kill(worker, signal.SIGKILL)
                else:
                    cluster.remove_node(machines.pop(), allow_graceful=False)
                    machines.append(cluster.add_node(num_cpus=3))
                wait_for(lambda: not alive(pid), seconds=60)
            events.append(event)

        events = []
        try:  # three threads: only the third machine has room
            self.make(1, 3, COMMAND).run([trial("lasts")], Here(tmp_path), tmp_path / "logs", kill)
        finally:
            for machine in machines:
                cluster.remove_node(machine)
        assert events[-1]["record"]["status"] == "done"
        assert len(_starts(tmp_path)) == 2

    @pytest.mark.parametrize(
        "asked, told",
        [
            (Resources(gpus=1), "has 1 CPU and 1 GPU for a trial; there are: 2 CPUs, 0 GPUs, "),
            (Resources(threads=99), "has 99 CPUs for a trial"),
            (Resources(memory=10**15), r"has 1 CPU and 1000000.0 GB for a trial"),
        ],
    )
    def test_what_no_machine_has_is_refused_at_once(self, asked, told):
        with pytest.raises(UsageError, match=told):
            RayExecutor(None, asked)


@pytest.mark.parametrize(
    "address, told",
    [
        ("127.0.0.1:9", "no Ray cluster answers at 127.0.0.1:9 .*refused.*ray start --head"),
        ("head", "give HOST:PORT, or auto"),
        ("ray://127.0.0.1:10001", "give HOST:PORT, or auto"),
    ],
)
def test_an_address_without_a_cluster_is_named(address, told):
    with pytest.raises(UsageError, match=told), joined(address, Resources()):
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError, match=r"pip install 'keras-vit\[ray\]'"),
        joined(None, Resources()),
    ):
        pass


def test_a_cluster_of_its_own_ends_with_a_killed_driver(tmp_path):
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)])
    try:
        wait_for(lambda: list(tmp_path.glob("*.pid")))
        below = descendants(driver.pid)
        # Two of Ray's helpers try for a minute to tell somebody; they are done with here.
        agents = [pid for pid in below if "Agent" in Path(f"/proc/{pid}/cmdline").read_text()]
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    try:
        assert int(next(tmp_path.glob("*.pid")).read_text()) in below and len(agents) <= 2
        wait_for(lambda: not any(alive(pid) for pid in below if pid not in agents), seconds=60)
    finally:
        for pid in agents:
            os.kill(pid, signal.SIGKILL)


DRIVER = """
import sys
from pathlib import Path
from studies.executors.ray import joined
from studies.executors.resources import Resources
from studies.records.place import Here
from tests.studies.descriptions import trial
from tests.studies.fake_trial import COMMAND

results = Path(sys.argv[1])
with joined(None, Resources(), 1, COMMAND) as executor:
    executor.run([trial("hangs")], Here(results), results / "logs", lambda trial, event: None)
"""


def _starts(path):
    return (path / "starts").read_text().splitlines()
