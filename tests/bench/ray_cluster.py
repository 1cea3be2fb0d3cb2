"""A Ray cluster of several nodes on this machine, whose processes are known and surely ended."""

import contextlib
import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1",
         "--object-store-memory=80000000", "--disable-usage-stats"]  # fmt: skip

PROMPT = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 10000,
    "health_check_failure_threshold": 3,
}
"""Makes the head notice within seconds that a node is gone."""


class Cluster:
    """A head, and the nodes that are added to it, with one processor each."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets need a short path
        self.env = {
            **os.environ,
            "RAY_TMPDIR": self.folder,  # or `auto` would mean this cluster for everybody here
            # without a token of its own, whoever reaches the ports could run code here
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }  # fmt: skip
        self.nodes, self.logs = [], []
        own, client, dashboard = free_ports(3)
        try:
            head = self.start(
                "--head", f"--port={own}", f"--ray-client-server-port={client}",
                f"--dashboard-port={dashboard}", "--include-dashboard=false",
                f"--system-config={json.dumps(PROMPT)}",
            )  # fmt: skip
            log = self.until_up(head)
            self.address = re.search(rf"--address='(.*:{own})'", log)[1]
            self.client = f"ray://{self.address.rpartition(':')[0]}:{client}"
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start(self, *flags, within=()):
        """Start a node, and give the process that all others of the node descend from."""
        self.logs.append(Path(self.folder, f"node-{len(self.nodes)}.log"))
        with self.logs[-1].open("w") as log:
            node = subprocess.Popen(
                [*within, *START, *flags], stdout=log, stderr=log, env=self.env,
                start_new_session=True, preexec_fn=end_with_parent,
            )  # fmt: skip
        self.nodes.append(node)
        return node

    def add(self, within=()):
        """Start another node, and wait until it is up."""
        # an address of its own, or drivers might talk to the cluster through this node
        own = f"--node-ip-address=127.0.0.{1 + len(self.nodes)}"
        node = self.start(f"--address={self.address}", own, within=within)
        self.until_up(node)
        return node

    def until_up(self, node, seconds=90):
        """Wait for a node, and give what it said."""
        log, until = self.logs[self.nodes.index(node)], time.monotonic() + seconds
        while "will now block" not in log.read_text():
            if node.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"a node did not come up: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        return log.read_text()

    def kill(self, node):
        """End a node as a power failure would, and give the ids of its processes."""
        # whoever starts others goes first, so that nothing is started in between
        pids = [node.pid, *descendants(node.pid)] if node.poll() is None else []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.wait()
        return pids

    def close(self):
        """End everything; workers and nodes before the head."""
        for node in reversed(self.nodes):
            self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)


def end_with_parent():
    """Ask the system to end this process, which ends its node, when the tests are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


def descendants(pid):
    """The ids of a process's children, each followed by its own."""
    children = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += [int(child) for child in task.read_text().split()]
    return [p for child in children for p in (child, *descendants(child))]
