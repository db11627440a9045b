"""The processes of a local server: started with a log each, watched, and stopped whole."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_S = 15.0  # then it is killed


@dataclass(frozen=True)
class Child:
    """A process that was started here; what it says goes to its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def last_words(self, lines: int = 8) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").strip().splitlines()[-lines:])


def start(name: str, command: list[str], home: Path, env: dict[str, str]) -> Child:
    """Start a command in a session of its own, so that Ctrl-C reaches us and not it."""
    log = home / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            cwd=home, env=env, start_new_session=True,
        )  # fmt: skip
    return Child(name, process, log)


def stop(child: Child) -> None:
    """Ask it and all that it started to stop; kill what has not after `STOP_S`."""
    try:
        parent = psutil.Process(child.process.pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        _signal(one, psutil.Process.terminate)
    _, alive = psutil.wait_procs(family, timeout=STOP_S)
    for one in alive:
        _signal(one, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=STOP_S)


def flow_runs_of(worker: Child) -> set[str]:
    """Ids of the flow runs that a worker's processes are busy with."""
    runs = set()
    with suppress(psutil.NoSuchProcess):
        for one in psutil.Process(worker.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                runs.add(one.environ().get("PREFECT__FLOW_RUN_ID", ""))
    return runs - {""}


def _signal(process: psutil.Process, how: Callable[[psutil.Process], None]) -> None:
    """Terminate or kill a process that may be gone by now."""
    with suppress(psutil.NoSuchProcess):
        how(process)
