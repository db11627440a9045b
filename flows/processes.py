"""The processes of a local server: started with a log each, watched, and stopped whole."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_S = 30.0  # then it is killed


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
    """Ask it to stop; after `STOP_S` kill it and all that it started."""
    descendants = _descendants(child)
    child.process.terminate()
    _end(descendants, child)


def stop_worker(child: Child) -> None:
    """Stop a worker and the runs it had started: it takes no new ones and reports those crashed.

    A worker that is asked to stop would wait for its runs to end, which may take all night.
    """
    child.process.terminate()
    runs = _descendants(child)
    for run in runs:
        _signal(run, psutil.Process.terminate)
    _end(runs, child)


def _end(descendants: list[psutil.Process], child: Child) -> None:
    """Wait for all of them, the descendants first; kill what stays."""
    _, alive = psutil.wait_procs(descendants, timeout=STOP_S)
    for one in alive:
        _signal(one, psutil.Process.kill)
    try:
        child.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()


def _descendants(child: Child) -> list[psutil.Process]:
    """All that it started and that still runs, deepest last; empty where it is gone."""
    try:
        return list(psutil.Process(child.process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, how: Callable[[psutil.Process], None]) -> None:
    """Terminate or kill a process that may be gone by now."""
    with suppress(psutil.NoSuchProcess):
        how(process)
