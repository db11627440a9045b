"""Listing: a folder or a manifest becomes image files: label, kind, group, split, mask, boxes.

Folder: `ok/` and `ko/<kind>/`, or MVTec AD's `train/good`, `test/<kind>`, `ground_truth/<kind>`
(Bergmann et al., CVPR 2019), either below `train/`, `test/` and `ood/<name>/` if the data are
divided already; without any of these folders all images are sound. Masks lie beside, in
`masks/<kind>/` or `ground_truth/<kind>/`. Manifest: a CSV or Parquet table, see COLUMNS.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from tasks.domain.boxes import Box, parsed_boxes
from tasks.domain.errors import BadInput, BadParameters, ImageRefused
from tasks.domain.records import SOUND, UNNAMED_KIND, Refusal, SourceFile, Stage
from tasks.store.images import SUFFIXES

MANIFEST_SUFFIXES = frozenset({".csv", ".parquet"})
COLUMNS = {
    "path": "image file, relative to the manifest or absolute",
    "label": "OK or KO",
    "kind": "kind of defect",
    "group": "part, tile or parent image: never divided between splits",
    "split": "train, test or ood:<name>; empty: to be divided",
    "mask": "mask of the defect, same size as the image",
    "box": 'boxes of the defects in pixels, "x y w h", several separated by ";"',
}
REQUIRED = ("path", "label")
SPLITS = ("", "train", "test")
OOD = "ood:"
NAMED_AT_MOST = 5


def list_images(dataset: str) -> tuple[list[SourceFile], list[Refusal]]:
    """The image files of a folder or manifest, by name, and those refused unread.

    Raises:
        BadParameters: no such folder or manifest, no image in it, or the manifest has unknown or
            missing columns, paths twice, files that are not there, labels or boxes that are none.
    """
    root = Path(dataset).expanduser()
    if root.suffix.lower() in MANIFEST_SUFFIXES:
        return _listed_manifest(root), []
    if not root.is_dir():
        raise BadParameters(
            f"Expected a folder of images or a manifest (.csv, .parquet), but {dataset!r} is "
            "neither"
        )
    files, refusals = _listed_folder(root)
    if not files and not refusals:
        raise BadParameters(
            f"Expected images in {dataset!r}, but found none ({', '.join(sorted(SUFFIXES))})"
        )
    return files, refusals


# --- folders ---------------------------------------------------------------------------------


def _listed_folder(root: Path) -> tuple[list[SourceFile], list[Refusal]]:
    """Files below a folder that may become sources, and those that may not."""
    inside = root.resolve()
    files, refusals = [], []
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES):
        name = path.relative_to(root).as_posix()
        split, parts = _split_of(name)
        if parts[0].lower() in {"masks", "ground_truth"}:
            continue
        try:
            if not path.resolve(strict=True).is_relative_to(inside):
                raise ImageRefused("a link that leads out of the folder; copy the file in")
            if path.is_dir():
                raise ImageRefused("a folder named like an image")
            files.append(_file(path, name, *_label_of(parts, split), split=split, group=name,
                               mask=_mask_beside(root, name, split, parts)))  # fmt: skip
        except OSError as exc:
            reason = f"unreadable ({exc.strerror or exc})"
            refusals.append(Refusal(subject=name, stage=Stage.INGEST, reason=reason))
        except ImageRefused as exc:
            refusals.append(Refusal(subject=name, stage=Stage.INGEST, reason=str(exc)))
    return files, refusals


def _split_of(name: str) -> tuple[str, list[str]]:
    """The split that a relative path names, and the rest of its parts."""
    parts = name.split("/")
    head = parts[0].lower()
    if head in {"train", "test"} and len(parts) > 1:
        return head, parts[1:]
    if head == "ood" and len(parts) > 2:
        return OOD + parts[1], parts[2:]
    return "", parts


def _label_of(parts: list[str], split: str) -> tuple[str, str]:
    """OK/KO and the kind, from the folders of a path; ImageRefused where they do not say."""
    head = parts[0].lower() if len(parts) > 1 or split.startswith(OOD) else "ok"
    if head in {"ok", "good"}:
        return "OK", SOUND
    if head == "ko":
        return "KO", parts[1] if len(parts) > 2 else UNNAMED_KIND
    if split.startswith(OOD):
        raise ImageRefused("expected ok/ or ko/<kind>/ below ood/<name>/")
    return ("KO", parts[0]) if split in {"train", "test"} else ("OK", SOUND)


def _mask_beside(root: Path, name: str, split: str, parts: list[str]) -> str | None:
    """The mask that lies beside a defective image, by the two usual conventions."""
    kind, stem = parts[-2] if len(parts) > 1 else "", Path(parts[-1]).stem
    top = root.joinpath(*name.split("/")[: -len(parts)])
    for base in (top, root) if split else (root,):
        for folder in ("masks", "ground_truth"):
            for file in (f"{stem}.png", f"{stem}_mask.png"):
                path = base / folder / kind / file
                if path.is_file():
                    return str(path)
    return None


# --- manifests -------------------------------------------------------------------------------


def _listed_manifest(path: Path) -> list[SourceFile]:
    """Rows of a manifest as files; anything wrong in it is named, and nothing is begun."""
    rows = read_table(path)
    require_columns(path, rows.columns, COLUMNS, REQUIRED)
    if rows.empty:
        raise BadParameters(f"Expected images in {path}, but it has no row")
    paths = [absolute(path.parent, text) for text in rows["path"]]
    _require_none(path, "every path once", [str(p) for p, n in Counter(paths).items() if n > 1])
    _require_none(path, "files that exist", [str(p) for p in paths if not p.is_file()])
    labels = rows["label"].str.upper()
    _require_none(path, "labels OK or KO", sorted(set(rows["label"][~labels.isin(["OK", "KO"])])))
    splits = rows["split"] if "split" in rows else pd.Series("", index=rows.index)
    is_known = splits.isin(SPLITS) | splits.str.match(f"{OOD}.+")
    _require_none(path, "splits train, test or ood:<name>", sorted(set(splits[~is_known])))
    masks = [
        absolute(path.parent, text) if text else None for text in rows.get("mask", [""] * len(rows))
    ]
    _require_none(path, "masks that exist", [str(p) for p in masks if p and not p.is_file()])
    boxes = _boxes(path, rows.assign(label=labels))
    kinds = rows.get("kind", [""] * len(rows))
    groups = rows.get("group", [""] * len(rows))
    return [
        _file(file, name, label, SOUND if label == "OK" else kind or UNNAMED_KIND, split=split,
              group=group or name, mask=str(mask) if mask else None, boxes=found)
        for file, name, label, kind, group, split, mask, found in zip(
            paths, rows["path"], labels, kinds, groups, splits, masks, boxes, strict=True
        )
    ]  # fmt: skip


def _boxes(path: Path, rows: pd.DataFrame) -> list[tuple[Box, ...]]:
    """The boxes of each row; BadParameters names the first row whose boxes cannot be."""
    found = []
    texts = rows.get("box", [""] * len(rows))
    for number, (name, label, text) in enumerate(
        zip(rows["path"], rows["label"], texts, strict=True), 1
    ):
        try:
            found.append(parsed_boxes(text))
        except BadInput as exc:
            raise BadParameters(f"{path}, row {number} ({name}): {exc}") from exc
        if found[-1] and label == "OK":
            raise BadParameters(
                f"{path}, row {number} ({name}): Expected no box on an OK image, but got {text!r}"
            )
    return found


def require_columns(
    path: Path, found: Iterable[str], known: Mapping[str, str], required: Sequence[str]
) -> None:
    """Raise BadParameters for columns of a manifest that are unknown, or missing."""
    names = set(found)
    unknown = sorted(names - set(known))
    missing = [name for name in required if name not in names]
    if unknown or missing:
        told = "; ".join(f"{name} ({meaning})" for name, meaning in known.items())
        wrong = [f"unknown {', '.join(unknown)}"] * bool(unknown)
        wrong += [f"missing {', '.join(missing)}"] * bool(missing)
        raise BadParameters(f"Expected columns of {told} in {path}, but: {'; '.join(wrong)}")


def read_table(path: Path) -> pd.DataFrame:
    """The table as texts, empty where there is nothing."""
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        table = pd.read_parquet(path).astype(object)
        return table.where(table.notna(), "").astype(str)
    except (OSError, ValueError, TypeError) as exc:  # pandas' and Arrow's errors are ValueErrors
        raise BadParameters(f"Expected a readable manifest at {path}, but: {exc}") from exc


def absolute(folder: Path, text: str) -> Path:
    """A path of a manifest, which is relative to the manifest's folder."""
    return (folder / Path(text).expanduser()).absolute()


def _require_none(path: Path, expected: str, wrong: Iterable[Any]) -> None:
    """Raise BadParameters when anything is wrong, naming the first few."""
    found = list(wrong)
    if found:
        shown = ", ".join(repr(one) for one in found[:NAMED_AT_MOST])
        more = f" and {len(found) - NAMED_AT_MOST} more" if len(found) > NAMED_AT_MOST else ""
        raise BadParameters(f"Expected {expected} in {path}, but got {shown}{more}")


def _file(
    path: Path,
    name: str,
    label: str,
    kind: str,
    *,
    split: str,
    group: str,
    mask: str | None,
    boxes: tuple[Box, ...] = (),
) -> SourceFile:
    """The record of one file, unread."""
    status = path.stat()
    try:
        return SourceFile.model_validate(
            {
                "path": str(path), "name": name, "label": label, "kind": kind,
                "size_bytes": status.st_size, "modified_ns": status.st_mtime_ns,
                "split": split, "group": group, "mask": mask, "boxes": boxes,
            }
        )  # fmt: skip
    except ValidationError as exc:
        raise BadParameters(f"Expected a usable row for {name!r}, but: {exc}") from exc
