"""Pairs: a folder or a manifest of candidates made elsewhere, each beside the source it came from.

Folder: `candidates/[<kind>/]NAME.*`, their sources `sources/NAME.*`, and where known the edited
regions `masks/[<kind>/]NAME.*`. Manifest: a CSV or Parquet table, see COLUMNS. What is wrong with
one pair is that pair's refusal.
"""

import re
from pathlib import Path

from tasks.domain.errors import BadParameters
from tasks.domain.records import PairFile, Refusal, Stage
from tasks.store.images import SUFFIXES
from tasks.store.listing import MANIFEST_SUFFIXES, absolute, read_table, require_columns

COLUMNS = {
    "source": "image before the edit, relative to the manifest or absolute",
    "candidate": "image after the edit",
    "mask": "mask of the edited region; empty: derived from the difference",
    "kind": "kind of defect it shows",
    "prompt": "what was asked for, as far as it is known",
    "maker": "who or what made it",
    "generation": "0: from real images alone; empty: unknown",
}
REQUIRED = ("source", "candidate")
FILES = ("source", "candidate", "mask")
_WHOLE = re.compile(r"([0-9]{1,4})(?:\.0)?")  # Parquet's numbers with gaps are floats


def list_pairs(
    candidates: str, *, kind: str, maker: str | None, generation: int | None
) -> tuple[list[PairFile], list[Refusal]]:
    """The pairs of a folder or manifest, by name, and those refused unread.

    Args:
        kind, maker, generation: of pairs that do not say.

    Raises:
        BadParameters: no such folder or manifest, no candidate in it, unknown or missing columns,
            a generation that is no number, or a candidate whose maker nobody names.
    """
    root = Path(candidates).expanduser()
    if root.suffix.lower() in MANIFEST_SUFFIXES:
        rows = _manifest_rows(root)
    elif root.is_dir():
        rows = _folder_rows(root)
    else:
        raise BadParameters(
            "Expected a folder with sources/ and candidates/, or a manifest (.csv, .parquet), but "
            f"{candidates!r} is neither"
        )
    if not rows:
        raise BadParameters(f"Expected candidates in {candidates!r}, but found none")
    pairs, refusals = [], []
    for row in rows:
        if not (row.get("maker") or maker):
            raise BadParameters(
                f"Expected who made {row['name']}, but nothing says so; give --maker, or a column "
                "`maker`"
            )
        if problem := row.get("problem") or _missing(row):
            refusals.append(Refusal(subject=row["name"], stage=Stage.ADOPT, reason=problem))
            continue
        pairs.append(
            PairFile(
                name=row["name"],
                source=row["source"],
                candidate=row["candidate"],
                mask=row.get("mask") or None,
                kind=row.get("kind") or kind,
                prompt=row.get("prompt", ""),
                maker=row.get("maker") or maker or "",
                generation=_generation(row, generation),
                stamps=tuple(_stamp(row[key]) for key in FILES if row.get(key)),
            )
        )
    return pairs, refusals


def _missing(row: dict[str, str]) -> str | None:
    """Which file of a pair is not there, as a reason."""
    gone = [key for key in FILES if row.get(key) and not Path(row[key]).is_file()]
    return f"missing: {gone[0]} {Path(row[gone[0]]).name} is no file" if gone else None


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of a file, which stand for its content in cache keys."""
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns


def _generation(row: dict[str, str], default: int | None) -> int | None:
    """The generation of a row, or the default where it does not say."""
    text = row.get("generation", "").strip()
    if not text:
        return default
    if not (found := _WHOLE.fullmatch(text)):
        raise BadParameters(
            f"Expected a generation of 0 or more for {row['name']}, but got {text!r}; leave it "
            "empty where it is unknown"
        )
    return int(found[1])


def _manifest_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest, paths made absolute; a candidate's path as written is its name."""
    table = read_table(path)
    require_columns(path, table.columns, COLUMNS, REQUIRED)
    rows = []
    for row in table.to_dict("records"):
        texts = {str(key): str(value) for key, value in row.items()}
        name = texts["candidate"] or f"row of source {texts['source']!r}"
        blank = [key for key in REQUIRED if not texts[key].strip()]
        problem = {"problem": f"missing: no {blank[0]} is named"} if blank else {}
        files = {key: str(absolute(path.parent, texts[key])) for key in FILES if texts.get(key)}
        rows.append(texts | files | problem | {"name": name})
    return rows


def _folder_rows(root: Path) -> list[dict[str, str]]:
    """The candidates of a folder, each with its source and mask by name and kind by subfolder."""
    inside = root.resolve()
    sources = _by_stem(root / "sources")
    rows = []
    for path in sorted((root / "candidates").rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.is_dir():
            continue
        place = path.relative_to(root / "candidates")
        row = {"name": path.relative_to(root).as_posix(), "candidate": str(path)}
        row |= {"kind": place.parts[0]} if len(place.parts) > 1 else {}
        found = sources.get(path.stem, [])
        masks = _by_stem(root / "masks" / place.parent).get(path.stem, [])
        row |= {"mask": str(masks[0])} if masks else {}
        row |= {"source": str(found[0])} if found else {}
        outside = [p for p in (path, *found, *masks) if not p.resolve().is_relative_to(inside)]
        if len(found) != 1:
            row["problem"] = f"missing: {len(found)} images named {path.stem} in sources/"
        elif outside:
            row["problem"] = "a link that leads out of the folder; copy the file in"
        rows.append(row)
    return rows


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """The images right in a folder, by name without suffix."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    return found
