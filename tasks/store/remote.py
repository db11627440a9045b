"""Object storage (s3://): one configuration for both its clients, and its failures in words.

Files go through fsspec's s3fs, tables through LanceDB's own client. Both take credentials, region
and endpoint from the environment alone (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL), never from a URI or a parameter, so that no row,
log or form can hold them. A store's answer is never repeated: it may quote the token.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from upath import UPath

from tasks.domain.errors import BadInput, PoolstarError, StorageRefused, TransientError
from tasks.domain.places import KEYS, without_credentials

DENIED = (
    "ExpiredToken", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId",
    "SignatureDoesNotMatch", "AccessDenied", "RequestTimeTooSkewed", "PermissionError",
    "403 Forbidden", "401 Unauthorized", "status: 403", "status: 401",
    "Errno 22] Bad Request",  # what a HEAD request with an expired token is told
)  # fmt: skip
NAMELESS = ("NoCredentials", "PartialCredentials", "CredentialsNotLoaded", "credentials in chain")
NO_BUCKET = ("NoSuchBucket", "specified bucket does not exist", "InvalidBucketName")
PASSING = (
    "SlowDown", "ServiceUnavailable", "Service Unavailable", "InternalError", "RequestTimeout",
    "reduce your request rate",
    "503 S", "500 Internal", "502 Bad", "504 Gateway", "429 Too", "status: 5", "status: 429",
    "ConnectionError", "ConnectTimeout", "ReadTimeout", "TimeoutError", "HTTPClientError",
    "ConnectionClosed", "kind: Connect", "kind: Timeout", "kind: Request", "dns error",
    "timed out", "connection closed",
)  # fmt: skip


def is_remote(uri: str) -> bool:
    """Whether a place is no folder of this machine or of one it mounts."""
    return "://" in uri and not uri.startswith("file://")


def place(uri: str) -> UPath:
    """A file or folder by its path or URI, read and written as it stands now.

    Raises:
        StorageRefused: the URI holds credentials.
        BadInput: the package for s3:// is missing.
    """
    without_credentials(uri)
    if not uri.startswith("s3://"):
        return UPath(uri)
    if importlib.util.find_spec("s3fs") is None:
        raise BadInput(f"Expected the package s3fs to reach {uri}; run: pip install 'poolstar[s3]'")
    region = os.environ.get("AWS_REGION")
    options = {"region_name": region} if region else {}
    return UPath(uri, client_kwargs=options, use_listings_cache=False)


def contents(path: UPath) -> bytes:
    """A file's bytes, as one request where it is remote; FileNotFoundError where there is none."""
    if path.protocol in {"", "file"}:
        return bytes(path.read_bytes())
    return bytes(path.fs.cat_file(path.path))


def storage_options(uri: str) -> dict[str, str] | None:
    """What LanceDB is told of a place beside the environment: only whether http:// may be spoken.

    Raises:
        StorageRefused, BadInput: as `place`.
    """
    if not uri.startswith("s3://"):
        return None
    place(uri)
    is_plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return {"allow_http": "true"} if is_plain else {}


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Say what a remote place answers in words; whatever else is raised passes through.

    Raises:
        StorageRefused: the credentials or the bucket are wrong.
        TransientError: it cannot be reached, or has too much to do; time may heal that.
    """
    try:
        yield
    except Exception as exc:
        said = storage_failure(exc, uri)
        if said is None:
            raise
        raise said from None  # the cause may quote a token


def storage_failure(exc: BaseException, uri: str) -> PoolstarError | None:
    """The error that a remote place's failure means; None for any other."""
    if not is_remote(uri) or isinstance(exc, PoolstarError) or not _is_of_a_client(exc):
        return None
    text = f"{' '.join(kind.__name__ for kind in type(exc).__mro__)}: {exc}"
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or "S3"
    if _found(NO_BUCKET, text):
        bucket = uri.split("://")[1].split("/", maxsplit=1)[0]
        return StorageRefused(
            f"Expected the bucket {bucket}, but {endpoint} has none of that name; create it, or "
            "name another (AWS_REGION must be the bucket's)"
        )
    if _found(NAMELESS, text):
        return StorageRefused(
            f"Expected credentials for {uri}, but the environment holds none; set {KEYS}"
        )
    if code := _found(DENIED, text):
        reason = {"Errno 22] Bad Request": "400", "PermissionError": "403"}.get(code, code)
        return StorageRefused(
            f"Expected to use {uri}, but {endpoint} refuses the credentials ({reason}): they are "
            f"wrong, expired, or may not do that; set {KEYS} anew and run again, what is done is "
            "kept"
        )
    if code := _found(PASSING, text):
        return TransientError(
            f"Expected an answer from {endpoint} about {uri}, but it is out of reach or too busy "
            f"({code}); look at the network and AWS_ENDPOINT_URL and run again, what is done is "
            "kept"
        )
    return None


def is_outrun(exc: OSError) -> bool:
    """Whether a conditional write failed because another one came first."""
    if isinstance(exc, FileExistsError | FileNotFoundError):
        return True
    error = getattr(exc.__cause__, "response", {}).get("Error", {})
    return error.get("Code") in {"PreconditionFailed", "ConditionalRequestConflict"}


def _is_of_a_client(exc: BaseException) -> bool:
    """Whether fsspec, botocore, Arrow or LanceDB (which raises plain errors) may have raised it."""
    plain = isinstance(exc, OSError | RuntimeError | ValueError | pa.ArrowException)
    return plain or type(exc).__module__.startswith(("botocore", "aiobotocore", "aiohttp"))


def _found(marks: tuple[str, ...], text: str) -> str:
    return next((mark for mark in marks if mark in text), "")
