"""docker/compose.yaml without Docker: as compose reads it, and its services started on loopback.

A service is started by its own command with its own environment, once what it depends on is in the
state that compose.yaml asks for, and counts as healthy when its own health check says so. Replaced
are what containers bring with them: host names, ports, folders, and Valkey by Debian's Redis.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from prefect_stack import POSTGRES, await_true, end, free_port

ROOT = Path(__file__).resolve().parents[1]
COMPOSE, CPU = ROOT / "docker/compose.yaml", ROOT / "docker/compose.cpu.yaml"
S3 = ROOT / "docker/compose.s3.yaml"
UID = 10001  # the image's user
PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins")
PORTS = ("5432", "6379", "8333", "4200", "8080")
DEADLINE_S = 240
# Reads everything, as an image's user may, wherever this interpreter lies; writes its own alone.
AS_IMAGE_USER = (
    "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip


def compose() -> str:
    """Docker's own compose; skips the test where it is missing, fails on CI."""
    found = shutil.which("docker-compose", path=os.pathsep.join([os.environ["PATH"], *PLUGINS]))
    return found or missing("docker compose (the plugin docker-compose)")


def missing(what: str) -> Any:
    """Skips the test for want of a program; on CI, which installs it, the test fails."""
    reason = f"{what} is not installed; .ci/run installs it"
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def secrets(folder: Path) -> Path:
    """A file of fresh secrets, as a user makes it."""
    path = folder / "secrets.env"
    subprocess.check_call([ROOT / "docker/secrets.sh", path])
    return path


def config(*files: Path, env_file: Path) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` says, with no variable but those of `env_file`."""
    named = [word for file in files for word in ("--file", str(file))]
    return subprocess.run(
        [compose(), "--env-file", str(env_file), *named, "config", "--format", "json"],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "HOME": "/"},
    )  # fmt: skip


def resolved(*files: Path, env_file: Path) -> dict[str, Any]:
    """The stack as compose resolves it."""
    done = config(*files, env_file=env_file)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Stack:
    """The services of a resolved stack, started on loopback under a folder of their own."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="poolstar-stack-"))
        self.home.chmod(0o755)
        self._services = stack["services"]
        self._ports = {port: free_port() for port in PORTS}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"http://127.0.0.1:{self._ports['4200']}"

    def start(self, *names: str) -> None:
        """Start services and all that they wait for, in the order that compose.yaml asks for."""
        for name in names:
            for other, wish in self._services[name].get("depends_on", {}).items():
                self._bring(other, wish["condition"])
            if name not in self._running:
                self._running[name] = self._launch(name)

    def _bring(self, name: str, condition: str) -> None:
        self.start(name)
        if condition == "service_completed_successfully":
            status = self._running[name].wait(timeout=DEADLINE_S)
            assert status == 0, f"{name} exits with {status}:\n{self.log(name)}"
        else:
            self.wait_healthy(name)

    def wait_healthy(self, name: str) -> None:
        """Until the service's own health check passes."""

        def passes() -> bool:
            dead = self._running[name].poll() is not None
            said = self.health(name)
            assert not (dead and said.returncode), f"{name} is dead: {said.stderr}{self.log(name)}"
            return not said.returncode

        await_true(f"{name} healthy", passes, seconds=DEADLINE_S)

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """The service's own health check, once."""
        test = self._services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        return subprocess.run(
            self._command(name, test[1:]), env=self.environment(name), cwd=self._folder(name),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def environment(self, name: str) -> dict[str, str]:
        """A service's environment, hosts and ports being those of this machine."""
        folder = self._folder(name)
        given = self._services[name].get("environment", {})
        return {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder), "TMPDIR": str(folder),
            "PREFECT_HOME": str(folder / "prefect"), "PGPORT": str(self._ports["5432"]),
            **{
                key: "127.0.0.1" if key.endswith("_HOST") else self._here(name, value or "")
                for key, value in given.items()
            },
        }  # fmt: skip

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")[-4000:]

    def kill(self, name: str) -> None:
        """End a service at once, as a crash would."""
        os.killpg(self.pid(name), signal.SIGKILL)
        self._running.pop(name).wait()

    def close(self) -> None:
        """Stop all, the last started first, and remove what they wrote."""
        for process in reversed(self._running.values()):
            end(process)
        shutil.rmtree(self.home, ignore_errors=True)

    def _launch(self, name: str) -> subprocess.Popen[bytes]:
        command = _postgres(self._folder(name), self._services[name]) if name == "postgres" else (
            self._command(name, self._services[name]["command"])
        )  # fmt: skip
        with (self.home / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                command, env=self.environment(name), cwd=self._folder(name),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _folder(self, name: str) -> Path:
        """What volumes and tmpfs are to the container; its user's own."""
        folder = self.home / name
        if not folder.exists():
            folder.mkdir()
            if os.geteuid() == 0:
                shutil.chown(folder, *(("postgres",) * 2 if name == "postgres" else (UID, UID)))
        return folder

    def _command(self, name: str, words: list[str]) -> list[str]:
        python = {"python": [sys.executable], "prefect": [sys.executable, "-m", "prefect"]}
        python["poolstar"] = [sys.executable, "-m", "flows.cli"]
        python["valkey-cli"] = ["redis-cli", "-p", str(self._ports["6379"])]
        first, *rest = [self._here(name, word) for word in words]
        command = [*python.get(first, [first]), *rest]
        return [*AS_IMAGE_USER, *command] if os.geteuid() == 0 else command

    def _here(self, name: str, value: str) -> str:
        """A value of compose.yaml, its addresses, ports and folders replaced by this machine's."""
        hosts = "|".join(self._services)
        value = re.sub(r"(?<![\w/])/(tmp|data)\b", str(self._folder(name)), value)
        value = re.sub(rf"\b({hosts})(?=:\d)|\b0\.0\.0\.0\b", "127.0.0.1", value)
        value = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda m: str(self._ports[m[1]]), value)
        value = value.replace("$$", "$").replace("valkey-server", "redis-server")
        return value.replace("/opt/poolstar/health.py", str(ROOT / "docker/health.py"))


def _postgres(folder: Path, service: dict[str, Any]) -> list[str]:
    """What the image's entry point does: a new cluster that asks for the password; its start."""
    if not POSTGRES:
        missing("PostgreSQL")
    own, data, word = service["environment"], str(folder / "data"), folder / "word"
    user = [] if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres"]
    user += [] if os.geteuid() else ["--clear-groups"]
    server = [*user, str(POSTGRES[-1])]
    word.write_text(own["POSTGRES_PASSWORD"])
    shutil.chown(word, folder.owner())
    subprocess.check_output(
        [*user, POSTGRES[-1].parent / "initdb", "--pgdata", data, "--pwfile", word,
         "--username", own["POSTGRES_USER"], "--auth=scram-sha-256", "--encoding=UTF8",
         "--no-sync"],
        cwd=folder, stderr=subprocess.STDOUT,
    )  # fmt: skip
    database = f"CREATE DATABASE {own['POSTGRES_DB']};\n".encode()
    single = [*server, "--single", "-D", data, "postgres"]
    subprocess.check_output(single, input=database, cwd=folder, stderr=subprocess.STDOUT)
    return [*server, "-D", data, "-h", "127.0.0.1", "-k", str(folder)]
