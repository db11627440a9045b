"""The processes of a local server: started with a log each, watched, and stopped whole."""

import subprocess
from collections.abc import Callable, Mapping
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
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(child.process.pid)
        stop_all([parent, *parent.children(recursive=True)])


def stop_all(processes: list[psutil.Process]) -> None:
    """Ask them to stop; kill those that have not after `STOP_S`."""
    for one in processes:
        _signal(one, psutil.Process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=STOP_S)
    for one in alive:
        _signal(one, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=STOP_S)


def flow_run_processes(marked: Mapping[str, str]) -> dict[psutil.Process, str]:
    """This machine's processes that work on flow runs, with the run's id.

    A worker that died leaves its runs without a parent; their environment still names them.

    Args:
        marked: what their environment holds, which tells ours from those of other workers.
    """
    found = {}
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            env = one.environ()
            if "PREFECT__FLOW_RUN_ID" in env and marked.items() <= env.items():
                found[one] = env["PREFECT__FLOW_RUN_ID"]
    return found


def _signal(process: psutil.Process, how: Callable[[psutil.Process], None]) -> None:
    """Terminate or kill a process that may be gone by now."""
    with suppress(psutil.NoSuchProcess):
        how(process)
