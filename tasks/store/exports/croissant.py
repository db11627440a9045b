"""Croissant 1.0: the export described for machines (Akhtar et al., Croissant, DEEM 2024).

Files that describe are named each with its sha256; SHA256SUMS, one of them, holds those of all.
"""

import json
from typing import Any

from tasks.domain.export_records import provenance_types
from tasks.store.exports.folder import ExportFolder
from tasks.store.exports.selection import Selection

PROVENANCE = "provenance.jsonl"
ENCODINGS = {
    ".json": "application/json", ".jsonl": "application/jsonlines", ".yaml": "application/x-yaml",
    ".md": "text/markdown", ".parquet": "application/x-parquet",
}  # fmt: skip
TYPES = {bool: "sc:Boolean", int: "sc:Integer", float: "sc:Float", str: "sc:Text"}
CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key",
    "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex",
    "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip


def croissant_json(selection: Selection, folder: ExportFolder) -> str:
    """The text of croissant.json, of all files that stand in the folder so far."""
    name = f"{selection.name}-{selection.version}"
    about = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": (
            f"Synthetic defects of POOL★ {selection.name} {selection.version}: {selection.images} "
            f"images from {selection.sources} real sources, as {selection.params.format}. "
            f"Manifest {selection.manifest}."
        ),
        "license": selection.params.licence or "unknown",
        "url": f"urn:sha256:{selection.manifest}",
        "version": f"{selection.version.removeprefix('v')}.0.0",
        "datePublished": selection.run["created_at"],
        "citeAs": f"POOL★ {selection.name} {selection.version}, manifest {selection.manifest}",
        "keywords": ["synthetic", "defect detection", "industrial inspection"],
        "isLiveDataset": False,
        "rai:dataCollection": (
            "Diffusion inpainting of real photographs of sound parts, accepted by gates of "
            "plausibility, utility and honesty; see README.md."
        ),
        "rai:dataUseCases": "Training of defect detectors beside real images; never their test.",
        "distribution": _distribution(folder),
        "recordSet": [_records()],
    }
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"


def _distribution(folder: ExportFolder) -> list[dict[str, Any]]:
    """Each descriptive file, and the images as a set that SHA256SUMS vouches for."""
    files = [name for name in folder.files() if not name.endswith((".png", ".txt"))]
    sets = {name.rsplit(".", 1)[-1] for name in folder.files()} & {"png", "txt"}
    objects = [
        {
            "@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name,
            "encodingFormat": _encoding(name), "sha256": folder.sha256(name),
        }
        for name in files
    ]  # fmt: skip
    return objects + [
        {
            "@type": "cr:FileSet", "@id": f"{suffix}-files", "name": f"{suffix}-files",
            "encodingFormat": "image/png" if suffix == "png" else "text/plain",
            "includes": f"**/*.{suffix}",
        }
        for suffix in sorted(sets)
    ]  # fmt: skip


def _encoding(name: str) -> str:
    return ENCODINGS.get("." + name.rsplit(".", 1)[-1], "text/plain")


def _records() -> dict[str, Any]:
    """The images' provenance as records."""
    return {
        "@type": "cr:RecordSet", "@id": "images", "name": "images",
        "description": "Where each image comes from.", "key": {"@id": "images/id"},
        "field": [
            {
                "@type": "cr:Field", "@id": f"images/{name}", "name": name,
                "dataType": TYPES[kind],
                "source": {"fileObject": {"@id": PROVENANCE}, "extract": {"column": name}},
            }
            for name, kind in provenance_types().items()
        ],
    }  # fmt: skip
