"""Places: paths and URIs of files, which never hold credentials."""

from tasks.domain.errors import BadParameters, StorageRefused

KEYS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a temporary key, AWS_SESSION_TOKEN"


def without_credentials(place: str) -> str:
    """The same path or URI.

    Raises:
        StorageRefused: it holds credentials, which the message does not repeat.
    """
    scheme, separator, rest = place.partition("://")
    if separator and "@" in rest.split("/")[0]:
        raise StorageRefused(
            f"Expected {scheme}://bucket/name, but the URI holds credentials; set {KEYS} in the "
            "environment and leave them out of the URI, where rows and logs would keep them"
        )
    return place


def writable(place: str) -> str:
    """The same folder or s3:// URI, of a pool, a store or a report.

    LanceDB reads `~` and `file://` otherwise than files are opened: a pool and its lock, claims and
    store would lie in different folders.

    Raises:
        StorageRefused: as `without_credentials`.
        BadParameters: it begins with `~`, or is a URI of another kind than s3://.
    """
    scheme, separator, _ = without_credentials(place).partition("://")
    if place.startswith("~") or (separator and scheme != "s3"):
        raise BadParameters(
            f"Expected a folder written out (/data/pools/line3, pools/line3) or s3://bucket/name, "
            f"but got {place!r}"
        )
    return place
