"""A real Slurm of our own: munged, slurmctld and a few slurmd on loopback, as root or an ordinary user.

No systemd, and unless a test asks for control groups nothing outside one folder. Several virtual nodes share this
machine. With ``accounting`` a private mariadbd and slurmdbd run too, which sacct and sacctmgr need.
"""

import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb-admin", "sacct", "sacctmgr")
NO_SLURM = "SODALYTE_NO_SLURM"
"""Environment variable: skip the tests that need Slurm, with this reason, instead of failing where there is none."""

CGROUPS = """ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherParams=NoShared"""
"""Settings of a cluster that limits memory by control groups, as sites do: only root may, and not everywhere."""

_HIERARCHIES = Path("/sys/fs/cgroup")
_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])


def missing(programs=PROGRAMS):
    """Return which of the programs are not installed."""
    return [name for name in programs if shutil.which(name, path=_SEARCH) is None]


def wait_until(condition, *, seconds=30.0, every=0.05, what="it happened"):
    """Return what ``condition`` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(every)
    return found


def _free_ports(count):
    """Return the first of ``count`` consecutive free ports."""
    while True:
        first = 20000 + secrets.randbelow(12000)
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first


class Lab:
    """One private cluster; a context manager that starts and stops it.

    Its folder is a new one in /tmp: munge wants a path that everyone may enter, and sockets a short one. ``extra`` are
    lines of slurm.conf, which replace those that are there.
    """

    def __init__(self, *, nodes=2, cpus=2, memory=4000, accounting=False, extra=""):
        folder = self.folder = Path(tempfile.mkdtemp(prefix="slurm-lab-"))
        folder.chmod(0o755)
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._cpus, self._memory, self._accounting, self._extra = cpus, memory, accounting, extra
        self._port = _free_ports(nodes + 3)
        self._user = getpass.getuser()
        self._mysql: subprocess.Popen | None = None

    def __enter__(self):
        for name in ("run", "log", "state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True, mode=0o755)
        try:
            self._start_munge()
            if self._accounting:
                self._start_accounting()
            self._write_configuration()
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
            wait_until(lambda: self.idle() == self.nodes, what=f"all nodes idle; see {self.folder / 'log'}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process("slurmctld") is not None:
            self.run("scancel", "--full", "--signal=KILL", f"--user={self._user}", check=False)
            self.run("scancel", f"--user={self._user}", check=False)
        daemons = [self.process(name) for name in (*(f"slurmd-{node}" for node in self.nodes), "slurmctld", "slurmdbd")]
        steps = self.steps_alive()
        for process in [*daemons, self.process("munged")]:
            if process is not None:
                process.terminate()
        if self._mysql is not None:
            self._mysql.terminate()
            self._mysql.wait()
        for process in psutil.wait_procs([process for process in [*daemons, *steps] if process], timeout=5)[1]:
            process.kill()
        for group in [path for node in self.nodes for path in _HIERARCHIES.glob(f"*/slurm_{node}")]:
            with suppress(OSError):  # another cluster's nodes have the same names
                group.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *words, check=True, **more):
        """Run a client command against this cluster and return its standard output."""
        done = subprocess.run(
            [str(word) for word in words],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            **more,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def idle(self):
        """Return the names of idle nodes."""
        return self.run("sinfo", "-h", "-N", "-p", "debug", "-t", "idle", "-o", "%N", check=False).split()

    def process(self, name):
        """Return the daemon ``name`` as a process, or None when it does not run."""
        try:
            return psutil.Process(int((self.folder / "run" / f"{name}.pid").read_text()))
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None

    def steps_alive(self):
        """Return the slurmstepd processes of this cluster, whose jobs may outlive a killed slurmd."""
        mine = []
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "slurmstepd":
                try:
                    if str(self.folder) in process.environ().get("SLURM_CONF", "") or any(
                        str(self.folder) in file.path for file in process.open_files()
                    ):
                        mine.append(process)
                except psutil.Error:
                    continue
        return mine

    def kill(self, name):
        """Kill a daemon without a warning: ``slurmctld`` or ``slurmd-n1``."""
        process = self.process(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def start_controller(self):
        """Start slurmctld; a state that is there is taken up."""
        self._daemon("slurmctld")
        wait_until(
            lambda: "is UP" in self.run("scontrol", "ping", check=False), what=f"slurmctld; {self.folder / 'log'}"
        )

    def resume_nodes(self):
        """Bring back nodes that the controller gave up, as an administrator does, and wait for them."""
        wait_until(lambda: not self._nodes_down(), seconds=60, every=0.5, what="every node is up again")

    def _nodes_down(self):
        states = (line.split() for line in self.run("sinfo", "-h", "-N", "-o", "%N %T", check=False).splitlines())
        down = {name for name, state in states if state.startswith(("down", "unk")) or state.endswith("*")}
        for name in down:
            self.run("scontrol", "update", f"NodeName={name}", "State=RESUME", check=False)
        return down

    def start_node(self, node):
        """Start slurmd of a node."""
        for name in ("spool", "tmp"):
            (self.folder / name / node).mkdir(parents=True, exist_ok=True)
        self._daemon("slurmd", "-N", node)

    def _daemon(self, name, *words):
        program = shutil.which(name, path=_SEARCH)
        done = subprocess.run([program, *words], env=os.environ | self.environment, check=False, timeout=30)
        log = self.folder / "log" / f"{name}.log"
        assert done.returncode == 0, log.read_text()[-2000:] if log.exists() else f"{name} did not start"

    def _start_munge(self):
        key = self.folder / "munge" / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        self._daemon(
            "munged",
            f"--key-file={key}",
            f"--socket={self._socket}",
            f"--seed-file={self.folder / 'munge' / 'seed'}",
            f"--pid-file={self.folder / 'run' / 'munged.pid'}",
            f"--log-file={self.folder / 'log' / 'munged.log'}",
            "--num-threads=2",
        )

    @property
    def _socket(self):
        return self.folder / "munge" / "sock"

    def _start_accounting(self):
        data, log = self.folder / "mysql", self.folder / "log" / "mariadbd.log"
        sock = self.folder / "run" / "mysql.sock"
        with log.open("ab") as out:
            words = ["--no-defaults", f"--datadir={data}", f"--user={self._user}", "--skip-test-db"]
            installer = shutil.which("mariadb-install-db", path=_SEARCH)
            subprocess.run(
                [installer, *words, "--auth-root-authentication-method=normal"], stdout=out, stderr=out, check=True
            )
            self._mysql = subprocess.Popen(
                [
                    shutil.which("mariadbd", path=_SEARCH),
                    "--no-defaults",
                    f"--user={self._user}",
                    f"--datadir={data}",
                    f"--socket={sock}",
                    "--skip-networking",
                    "--innodb-buffer-pool-size=32M",
                    "--innodb-log-file-size=16M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--performance-schema=OFF",
                    "--skip-log-bin",
                ],
                stdout=out,
                stderr=out,
            )
        ping = ["mariadb-admin", "--no-defaults", "-u", "root", f"--socket={sock}", "ping"]
        wait_until(lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0, what="mariadbd")
        configuration = self.folder / "slurmdbd.conf"
        configuration.write_text(
            f"""AuthType=auth/munge
AuthInfo=socket={self._socket}
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={self._port + 1}
SlurmUser={self._user}
PidFile={self.folder}/run/slurmdbd.pid
LogFile={self.folder}/log/slurmdbd.log
CommunicationParameters=NoInAddrAny
StorageType=accounting_storage/mysql
StorageUser=root
StorageLoc=slurm_acct
"""
        )
        configuration.chmod(0o600)
        self.environment["MYSQL_UNIX_PORT"] = str(sock)
        self._daemon("slurmdbd")
        wait_until(self._accounting_listens, what="slurmdbd")

    def _accounting_listens(self):
        """Tell whether slurmdbd can be reached; its pid file comes earlier, and slurmctld dies when it is not there."""
        try:
            socket.create_connection(("127.0.0.1", self._port + 1), timeout=1).close()
        except OSError:
            return False
        return True

    def _write_configuration(self):
        host = socket.gethostname().partition(".")[0]
        accounting = "AccountingStorageType=accounting_storage/none"
        if self._accounting:
            accounting = (
                "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=localhost\n"
                f"AccountingStoragePort={self._port + 1}\nAccountingStoragePass={self._socket}"
            )
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={self._port + 2 + number} CPUs={self._cpus} "
            f"Boards=1 SocketsPerBoard=1 CoresPerSocket={self._cpus} ThreadsPerCore=1 RealMemory={self._memory}"
            for number, node in enumerate(self.nodes)
        )
        folder, user, names = self.folder, self._user, ",".join(self.nodes)
        configuration = f"""ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={self._socket},cred_expire=10
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={self._port}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmctldLogFile={folder}/log/slurmctld.log
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder / "tmp"}/%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=3600
MaxArraySize=1001
MaxJobCount=20000
Waittime=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=defer_batch,sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
PriorityType=priority/basic
{accounting}
{nodes}
PartitionName=debug Nodes={names} Default=YES MaxTime=60 DefaultTime=10 State=UP OverSubscribe=NO
PartitionName=small Nodes={self.nodes[0]} MaxTime=1 DefaultTime=1 State=UP OverSubscribe=NO
"""
        for line in self._extra.splitlines():
            if not line.startswith("PartitionName="):
                configuration = re.sub(rf"(?m)^{line.partition('=')[0]}=.*\n", "", configuration)
            configuration += f"{line}\n"
        (folder / "slurm.conf").write_text(configuration)
        (folder / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainSwapSpace=yes\nAllowedSwapSpace=0\n"
        )
