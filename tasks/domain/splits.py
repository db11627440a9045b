"""Splits: which groups train, which are held out for the test, and which fold validates whom.

A group (part, tile, parent image) is never divided; kinds are spread evenly over the parts, by
scikit-learn's StratifiedGroupKFold. A fold is the part of the training groups that one seed's
detector does not see and is validated on: together the seeds validate every real image.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from tasks.domain.errors import BadInput, BadParameters
from tasks.domain.records import Record, SourceFile
from tasks.domain.trial_parameters import SplitParams

MIN_KO = 2
OOD = "ood:"


class Division(Record):
    """The images of a dataset by name: training with its folds, test, and out of distribution.

    `groups` gives each image's group by name, `group_of_path` that of every listed file, whether it
    takes part or not, `fold` each training image's fold, `prevalence` the training
    part's share of KO images before it was thinned, `note` how the split was made.
    """

    train: tuple[SourceFile, ...]
    test: tuple[SourceFile, ...]
    ood: tuple[SourceFile, ...]
    groups: dict[str, str]
    group_of_path: dict[str, str]
    fold: dict[str, int]
    prevalence: float
    note: str


def divided(
    files: Sequence[SourceFile],
    params: SplitParams,
    folds: int,
    max_images: int | None = None,
) -> Division:
    """Training, test and folds of a dataset.

    Args:
        files: as listed; names are unique.
        params: whether a stated split is used, and how a new one is made.
        folds: parts of the training groups.
        max_images: at most so many OK and so many KO images a part, chosen by the seed.

    Raises:
        BadInput: OK or KO is missing in a part, or a group stands in two splits.
        BadParameters: the pattern for groups is not a regular expression with one group.
    """
    groups = {file.name: group_of(file, params.group_pattern) for file in files}
    paths = {file.path: groups[file.name] for file in files}
    ood = tuple(file for file in files if file.split.startswith(OOD))
    own = [file for file in files if not file.split.startswith(OOD)]
    if _uses_given(own, params):
        _require_groups_whole(own, groups)
        train = [file for file in own if file.split == "train"]
        test = [file for file in own if file.split == "test"]
        note = "the split that the dataset states"
    else:
        train, test = _new_split(own, groups, params)
        note = f"a new split by group, seed {params.seed}"
        if params.use == "auto" and any(file.split for file in own):
            note += "; the one that the dataset states lacks OK or KO images in a part"
    prevalence = sum(file.label == "KO" for file in train) / max(len(train), 1)
    train, test = (_thinned(part, max_images, params.seed) for part in (train, test))
    _require_both(train, "training")
    _require_both(test, "test")
    fold = _folds(train, groups, folds, params.seed)
    return Division(
        train=tuple(train), test=tuple(test), ood=ood, groups=groups, group_of_path=paths,
        fold=fold, prevalence=prevalence, note=note,
    )  # fmt: skip


def group_of(file: SourceFile, pattern: str | None) -> str:
    """The part a file shows: by the pattern's first group, else as listed, else its own name.

    Raises:
        BadParameters: the pattern is no regular expression, or has no group.
    """
    if pattern is None:
        return file.group or file.name
    try:
        found = re.search(pattern, file.name)
        return found.group(1) if found else file.group or file.name
    except (re.error, IndexError) as exc:
        raise BadParameters(
            f"Expected group_pattern to be a regular expression with one group, but got "
            f"{pattern!r} ({exc})"
        ) from exc


def _uses_given(files: Sequence[SourceFile], params: SplitParams) -> bool:
    """Whether the stated split is taken: asked for, or usable as it is.

    Raises:
        BadInput: it is, and lacks a class in a part, or some image names no split.
    """
    present = {(file.split, file.label) for file in files if file.split}
    is_usable = present == {(s, label) for s in ("train", "test") for label in ("OK", "KO")}
    if params.use == "new" or (params.use == "auto" and not is_usable):
        return False
    _require_both([file for file in files if file.split == "train"], "training")
    _require_both([file for file in files if file.split == "test"], "test")
    if stray := [file.name for file in files if not file.split]:
        raise BadInput(
            f"Expected every image in train or test, but {len(stray)} name no split, "
            f"{stray[0]!r} first; move them, or ask for a new split"
        )
    return True


def _require_groups_whole(files: Sequence[SourceFile], groups: dict[str, str]) -> None:
    """Raise BadInput when a group stands in training and test."""
    sides: dict[str, set[str]] = {}
    for file in files:
        sides.setdefault(groups[file.name], set()).add(file.split)
    torn = sorted(group for group, splits in sides.items() if len(splits) > 1)
    if torn:
        raise BadInput(
            f"Expected every group in one split, but {', '.join(torn[:5])}"
            f"{f' and {len(torn) - 5} more' if len(torn) > 5 else ''} stand in training and test: "
            "the test would be known by heart. Mend the split, or ask for a new one"
        )


def _new_split(
    files: Sequence[SourceFile], groups: dict[str, str], params: SplitParams
) -> tuple[list[SourceFile], list[SourceFile]]:
    """Training and test by group, kinds spread evenly; test_share is met to the nearest 1/n."""
    _require_both(files, "dataset")
    parts = max(2, round(1 / min(params.test_share, 1 - params.test_share)))
    fold = _stratified(files, [groups[file.name] for file in files], parts, params.seed)
    is_small = fold == 0
    in_test = is_small if params.test_share <= 0.5 else ~is_small
    pairs = list(zip(files, in_test, strict=True))
    return [f for f, t in pairs if not t], [f for f, t in pairs if t]


def _folds(
    files: Sequence[SourceFile], groups: dict[str, str], folds: int, seed: int
) -> dict[str, int]:
    """The fold of each training image, by name; outside each fold both classes are left.

    Raises:
        BadInput: there are too few groups, or all of a class stands in one fold.
    """
    names = [groups[file.name] for file in files]
    # another seed than the split's, so that folds of a new split are not its continuation
    fold = _stratified(files, names, folds, seed + 1)
    for part in range(folds):
        left = {file.label for file, at in zip(files, fold, strict=True) if at != part}
        if left != {"OK", "KO"}:
            missing = "defective" if "KO" not in left else "sound"
            raise BadInput(
                f"Expected {missing} training images of two parts (groups) or more, but all fall "
                f"into fold {part + 1} of {folds}; a detector validated on it would have none"
            )
    return {file.name: int(value) for file, value in zip(files, fold, strict=True)}


def _stratified(
    files: Sequence[SourceFile], groups: Sequence[str], parts: int, seed: int
) -> NDArray[np.int64]:
    """(n,) part of each file; kinds rarer than the parts count as one."""
    counts = Counter(file.kind for file in files)
    kinds = [file.kind if counts[file.kind] >= parts else file.label for file in files]
    if len(set(groups)) < parts or max(Counter(kinds).values()) < parts:
        raise BadInput(
            f"Expected at least {parts} groups to divide, but got {len(set(groups))}; give more "
            "images, or fewer folds and seeds"
        )
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    fold = np.zeros(len(files), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a kind rarer than the parts
        for part, (_, rows) in enumerate(splitter.split(kinds, kinds, groups)):
            fold[rows] = part
    return fold


def _thinned(files: Sequence[SourceFile], max_images: int | None, seed: int) -> list[SourceFile]:
    """At most so many OK and so many KO files, in their order, KO kinds kept in proportion."""
    if max_images is None:
        return list(files)
    kept: set[str] = set()
    rng = np.random.default_rng((seed, 3))
    for label in ("OK", "KO"):
        names = [file.name for file in files if file.label == label]
        order = rng.permutation(len(names))[:max_images]
        kept |= {names[i] for i in order}
    return [file for file in files if file.name in kept]


def _require_both(files: Sequence[SourceFile], part: str) -> None:
    """Raise BadInput unless both classes are there."""
    counts = Counter(str(file.label) for file in files)
    for label, meaning, least in (("OK", "sound", 1), ("KO", "defective", MIN_KO)):
        if counts[label] < least:
            raise BadInput(
                f"Expected {least} or more {meaning} images ({label}) in the {part} part, but got "
                f"{counts[label]} of {len(files)}; a trial compares detectors of real defects, so "
                "it needs both classes in training and in test"
            )
