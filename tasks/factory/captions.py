"""Captions: what an image shows, in a few wordings; the words the tiny models know."""

import numpy as np

CAPTIONS: dict[str, tuple[str, ...]] = {
    "sound": (
        "sound weld bead with regular ripples", "a good weld", "sound weld seam, no defect",
        "regular weld bead", "photo of a sound weld",
    ),
    "crack": (
        "fine crack in the weld bead", "a crack", "thin dark crack across the weld",
        "cracked weld seam", "crack along the weld bead",
    ),
    "porosity": (
        "cluster of pores in the weld bead", "porosity", "dark round pores in the weld",
        "porous weld seam", "gas pores on the weld bead",
    ),
    "oxidation": (
        "oxidized weld bead with dark blotches", "oxidation", "burnt oxidized weld",
        "dark oxide on the weld seam", "sooty oxidation on the weld bead",
    ),
    "spatter": (
        "spatter droplets on the weld bead", "spatter", "metal droplets stuck on the weld",
        "weld seam with spatter", "shiny spatter on the weld bead",
    ),
    "undercut": (
        "undercut groove along the toe of the weld bead", "undercut", "dark groove at the weld toe",
        "undercut weld seam", "undercut along the weld bead",
    ),
    "lack_of_fusion": (
        "lack of fusion gap in the weld bead", "lack of fusion", "unfused notch in the weld",
        "weld seam not fused to the plate", "lack of fusion at the weld bead",
    ),
}  # fmt: skip
PROMPTS: dict[str, str] = {kind: wordings[0] for kind, wordings in CAPTIONS.items()}


def caption(kind: str, rng: np.random.Generator) -> str:
    """One wording for the kind; the canonical prompt every other time."""
    wordings = CAPTIONS[kind]
    return wordings[0] if rng.random() < 0.4 else wordings[int(rng.integers(len(wordings)))]


def words() -> tuple[str, ...]:
    """Every word that a caption uses, sorted."""
    text = " ".join(w for wordings in CAPTIONS.values() for w in wordings)
    return tuple(sorted(set(text.replace(",", " ").split())))
