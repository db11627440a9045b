"""Places: paths and URIs of files, which never hold credentials."""

from tasks.domain.errors import StorageRefused

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
