"""The command line as a person calls it, in this process."""

from flows.cli import main


def run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    monkeypatch.setattr("sys.argv", ["poolstar", *words])
    status = 0
    try:
        main()
    except SystemExit as exc:
        status = int(exc.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err
