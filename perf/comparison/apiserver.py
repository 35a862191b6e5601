"""A real API server with etcd below it, built by tests/setup: started, filled, updated, killed.

Whoever asks may do everything here: rights are not what is measured.
"""

import http.client
import json
import ssl
import subprocess
import threading
import time

from .process import PERF, Broken, found, free_port

TOOLS = PERF.parent / "target/tools/kube"
TOKEN = "measure"


class ApiServer:
    """etcd and kube-apiserver on loopback; ended by their own pids."""

    def __init__(self, directory):
        self.directory = directory
        self.port, self.etcd_port, peer_port = free_port(), free_port(), free_port()
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.local = threading.local()
        (directory / "tokens.csv").write_text(f'{TOKEN},measure,1,"system:masters"\n')
        subprocess.run(["openssl", "genrsa", "-out", directory / "sa.key", "2048"],
                       check=True, capture_output=True)
        clients, peers = (f"http://127.0.0.1:{p}" for p in (self.etcd_port, peer_port))
        self.etcd = self.start("etcd", [
            "--data-dir", directory / "etcd", "--name", "one", "--log-level", "warn",
            "--listen-client-urls", clients, "--advertise-client-urls", clients,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
            "--initial-cluster", f"one={peers}", "--unsafe-no-fsync"])
        self.server = None
        self.revive()

    def start(self, name, arguments):
        with open(self.directory / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                list(map(str, [TOOLS / name, *arguments])),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def revive(self):
        """Starts the API server, with the state it had."""
        at = self.directory
        self.server = self.start("kube-apiserver", [
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", "--cert-dir", at, "--authorization-mode=RBAC",
            "--token-auth-file", at / "tokens.csv", "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file", at / "sa.key",
            "--service-account-signing-key-file", at / "sa.key"])
        until = time.monotonic() + 90
        while True:
            try:
                return self.ask("GET", "/readyz")
            except (OSError, http.client.HTTPException, Broken):
                if self.server.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def kill(self):
        self.server.kill()
        self.server.wait()

    def ask(self, method, path, body=None, kind="application/json"):
        """One request on this thread's own connection."""
        if getattr(self.local, "connection", None) is None:
            self.local.connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=30, context=self.context)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        try:
            self.local.connection.request(
                method, path, None if body is None else json.dumps(body), headers)
            answer = self.local.connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.local.connection = None
            raise
        if answer.status >= 300:
            raise Broken(f"{method} {path}: {answer.status} {content[:300]}")
        return content

    def kubeconfig(self):
        path = self.directory / "kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {
                "server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in (self.server, self.etcd):
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
