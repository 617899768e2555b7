"""A SLURM of two fake nodes with two fake GPUs each, on this one machine, for tests.

    eval "$(python tests/slurm/lab.py up)"      # sets SLURM_CONF, by which sbatch and the like find it
    python tests/slurm/lab.py kill-node n2      # as if its power had gone
    python tests/slurm/lab.py revive-node n2
    python tests/slurm/lab.py down

All of it is in one folder, $FADECAST_SLURM_LAB or /var/lib/fadecast-slurm, which starts empty; after `down` the logs
can still be read there. Daemons and clients meet through SLURM_CONF, sockets in that folder and ports of their own:
nothing is written to /etc or /run, and a SLURM that the machine may have is left alone.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LAB = Path(os.environ.get("FADECAST_SLURM_LAB", "/var/lib/fadecast-slurm")).absolute()
ETC, RUN, LOG, MARK = LAB / "etc", LAB / "run", LAB / "log", LAB / "lock"
NODES = {"n1": 27821, "n2": 27822}  # name: port
PATIENCE_S = 60.0

APT_GET = "apt-get install -y --no-install-recommends slurmctld slurmd slurmdbd slurm-client munge mariadb-server"
PROGRAMS = (
    *("munged", "munge", "mariadb-install-db", "mariadbd", "slurmdbd", "slurmctld", "slurmd"),
    *("sacctmgr", "sacct", "scontrol", "sinfo", "sbatch", "srun", "setsid"),
)

CLIENT = {"SLURM_CONF": f"{ETC}/slurm.conf"}
# Where MariaDB's socket is: slurmdbd.conf has no word for it, but the library that slurmdbd uses looks here.
DAEMON = {"MYSQL_UNIX_PORT": f"{RUN}/mariadbd.socket", "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}

SLURM_CONF = f"""\
# All listen on every address, as some containers cannot look up their own name, by which SLURM would choose one;
# who has no credential made with the key of this lab is refused.
ClusterName=fadecastlab
SlurmctldPort=27817
SlurmUser=root
SlurmdUser=root
StateSaveLocation={LAB}/state
SlurmdSpoolDir={LAB}/spool/%n
SlurmctldPidFile={RUN}/slurmctld.pid
SlurmdPidFile={RUN}/%n.pid
SlurmctldLogFile={LOG}/slurmctld.log
SlurmdLogFile={LOG}/%n.log
MpiDefault=none
# No cgroups: the processes of a job are found by their parents, and a GPU is but a number that the job is told.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
# The nodes claim more than the machine has.
SlurmdParameters=config_overrides
# A requeued job waits until its credential has expired (2 min unless said, at least 5 s) and the scheduler looks again.
AuthInfo=socket={RUN}/munged.socket,cred_expire=5
SchedulerParameters=sched_interval=2,bf_interval=2
# A silent node is given up after some 15 s (25 s with the default MessageTimeout), and welcome when it speaks again.
MessageTimeout=5
SlurmdTimeout=5
ReturnToService=2
KillWait=3
# A preempted job gets at once the signal that it asked for (sbatch --signal), then GraceTime to save its work.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
# submitit asks sacct for the states of jobs. With munge, the "password" is munged's socket.
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=27819
AccountingStoragePass={RUN}/munged.socket
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=8
PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""

SLURMDBD_CONF = f"""\
DbdHost=localhost
DbdPort=27819
SlurmUser=root
AuthInfo=socket={RUN}/munged.socket
PidFile={RUN}/slurmdbd.pid
LogFile={LOG}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
# MariaDB knows root by the socket; slurmdbd makes its database itself.
StorageUser=root
"""


@dataclass(frozen=True)
class Daemon:
    """A program that writes RUN/name.pid, goes to the background, and is `ready` some time later."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)

    def pid(self) -> int | None:
        """Its process while it runs; a zombie (it has no command line) or a later owner of the number is none."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((RUN / f"{self.name}.pid").read_text())
            if self.command[0] in Path(f"/proc/{pid}/cmdline").read_text(errors="replace"):
                return pid
        return None

    def start(self) -> None:
        if self.pid() is None:
            # MariaDB alone stays in the foreground. The output cannot be a pipe: daemons keep it open.
            command = ("setsid", "--fork", *self.command) if self.command[0] == "mariadbd" else self.command
            environment = os.environ | CLIENT | DAEMON | self.environment
            with (LOG / f"{self.name}.out").open("a") as out:
                done = subprocess.run(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, umask=0o022
                )
            if done.returncode != 0:
                raise RuntimeError(f"{self.name} does not start; see {LOG}/{self.name}.*")
        _wait(self.ready, f"{self.name} to come up; see {LOG}/{self.name}.*")

    def stop(self) -> None:
        if (pid := self.pid()) is not None:
            os.kill(pid, signal.SIGTERM)
            _wait(lambda: self.pid() is None, f"{self.name} (process {pid}) to end")


def _services() -> list[Daemon]:
    """All but the nodes, in the order of starting."""
    socket_of = {name: f"--socket={RUN}/{name}.socket" for name in ("munged", "mariadbd")}
    munged = (
        *("munged", socket_of["munged"], f"--pid-file={RUN}/munged.pid", f"--key-file={ETC}/munge.key"),
        *(f"--log-file={LOG}/munged.log", f"--seed-file={RUN}/munged.seed"),
    )
    mariadbd = (
        *("mariadbd", "--no-defaults", "--user=root", "--skip-networking", f"--datadir={LAB}/db"),
        *(socket_of["mariadbd"], f"--pid-file={RUN}/mariadbd.pid"),
    )
    return [
        Daemon("munged", munged, lambda: _output("munge", "--no-input", socket_of["munged"]) is not None),
        Daemon("mariadbd", mariadbd, lambda: _answers(RUN / "mariadbd.socket")),
        Daemon("slurmdbd", ("slurmdbd",), lambda: _output("sacctmgr", "show", "cluster") is not None),
        Daemon("slurmctld", ("slurmctld",), lambda: _output("scontrol", "ping") is not None),
    ]


def _node(name: str) -> Daemon:
    if name not in NODES:
        raise ValueError(f"no node {name!r}; there are {', '.join(NODES)}")
    # slurmd hands its environment on to slurmstepd, and tasks get the same variable from SLURM: see _processes.
    return Daemon(name, ("slurmd", "-N", name), lambda: _on_duty(name), {"SLURMD_NODENAME": name})


def missing() -> str | None:
    """Why no SLURM can be brought up here, or None."""
    if os.geteuid() != 0:
        return "a SLURM for tests needs root"
    absent = [program for program in PROGRAMS if shutil.which(program, path=DAEMON["PATH"]) is None]
    if absent:
        return f"a SLURM for tests needs {', '.join(absent)}: {APT_GET}"
    if LAB.exists() and not MARK.exists() and any(LAB.iterdir()):
        return f"{LAB} holds something else, which a SLURM for tests would wipe: set FADECAST_SLURM_LAB"
    return None


def up() -> dict[str, str]:
    """Start whatever does not run; returns the environment that clients and jobs need."""
    if reason := missing():
        raise RuntimeError(reason)
    with _alone():
        daemons = [*_services(), *map(_node, NODES)]
        if all(daemon.pid() is None for daemon in daemons):
            _start_empty()
        try:
            for daemon in daemons:
                daemon.start()
        except BaseException:
            _stop_all()
            raise
    return dict(CLIENT)


def down() -> None:
    """Stop everything, and with it every job."""
    if MARK.exists():
        with _alone():
            _stop_all()


def kill_node(name: str) -> None:
    """Kill a node and all that runs on it at one moment, so that nobody is left to report the death."""
    _node(name)
    while processes := _processes(name):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)


def revive_node(name: str) -> None:
    """Start a killed node again and wait until it takes jobs."""
    _node(name).start()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for other processes that bring the lab up or down, such as those of pytest-xdist."""
    LAB.mkdir(parents=True, exist_ok=True)
    with MARK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_empty() -> None:
    """No jobs, a new key, a new database."""
    for path in LAB.iterdir():
        if path != MARK:
            shutil.rmtree(path)
    for folder in (LAB, ETC, RUN, LOG, LAB / "state", LAB / "spool", *(LAB / "spool" / name for name in NODES)):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # munged refuses a folder that a group may write to
    for number in (0, 1):  # a GPU must be a device, and CUDA_VISIBLE_DEVICES is the number in its name
        (ETC / f"nvidia{number}").symlink_to("/dev/null")
    host = socket.gethostname().split(".")[0]
    node = f"NodeName={{}} NodeHostname={host} NodeAddr=127.0.0.1 Port={{}} CPUs=2 RealMemory=64000 Gres=gpu:2\n"
    nodes = "".join(node.format(name, port) for name, port in NODES.items())
    for name, mode, content in (
        ("slurm.conf", 0o644, f"{SLURM_CONF}SlurmctldHost={host}(127.0.0.1)\n{nodes}"),
        ("gres.conf", 0o644, f"Name=gpu File={ETC}/nvidia[0-1]\n"),
        ("slurmdbd.conf", 0o600, SLURMDBD_CONF),
        ("munge.key", 0o600, os.urandom(256).hex()),
    ):
        (ETC / name).touch(0o600)
        (ETC / name).write_text(content)
        (ETC / name).chmod(mode)
    install = ("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db", f"--datadir={LAB}/db")
    with (LOG / "mariadb-install-db.out").open("w") as out:
        subprocess.run([*install, "--auth-root-authentication-method=socket"], stdout=out, stderr=out, check=True)


def _stop_all() -> None:
    *others, controller = _services()
    controller.stop()  # first, as it would requeue what runs on the nodes
    for name in NODES:
        kill_node(name)
    for service in reversed(others):
        service.stop()


def _processes(node: str) -> list[int]:
    """The daemon of a node, those that watch over its jobs, and the jobs, by the environment they were started with."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (process / "environ").read_text(errors="replace").split("\0")
            if {f"SLURMD_NODENAME={node}", f"SLURM_CONF={CLIENT['SLURM_CONF']}"} <= set(environment):
                found.append(int(process.name))
    return found


def _wait(met: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not met():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(0.1)


def _output(*command: str) -> str | None:
    """What a command printed, or None if it failed."""
    done = subprocess.run(command, env=os.environ | CLIENT | DAEMON, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _on_duty(node: str) -> bool:
    """Whether a node takes jobs; a state that ends in an asterisk is that of a silent one."""
    states = (_output("sinfo", "-h", "-n", node, "-o", "%T") or "unknown").split()
    return all(state in ("idle", "mixed", "allocated", "completing") for state in states)


def main() -> None:
    parser = argparse.ArgumentParser(description="A SLURM of two fake nodes on this machine, for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it, and print what a shell needs to use it")
    commands.add_parser("down", help="stop it and its jobs")
    for command in ("kill-node", "revive-node"):
        commands.add_parser(command).add_argument("node", choices=NODES)
    given = parser.parse_args()
    try:
        if reason := missing():
            raise RuntimeError(reason)
        match given.command:
            case "up":
                print(*(f"export {name}={value}" for name, value in up().items()), sep="\n")
            case "down":
                down()
            case "kill-node":
                kill_node(given.node)
            case "revive-node":
                revive_node(given.node)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"lab.py: {error}")


if __name__ == "__main__":
    main()
