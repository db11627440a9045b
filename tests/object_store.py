"""An S3 server on loopback for tests: moto behind a door that can fail, as S3 itself can.

moto looks whether an object is there and writes it in two steps; S3 does so in one. Requests pass
the door one at a time, which makes conditional writes what they are on S3.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEY, SECRET, REGION = "poolstar-test", "not-a-secret-but-looked-for", "eu-west-3"
VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_PROFILE",
)  # fmt: skip
REFUSALS = {
    "expired": ("400 Bad Request", "ExpiredToken", "The provided token has expired."),
    "unknown": ("403 Forbidden", "InvalidAccessKeyId", "The AWS Access Key Id does not exist."),
    "busy": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
}


class _Quiet(WSGIRequestHandler):
    def log_request(self, *args) -> None:
        pass


class ObjectStore:
    """A running server; `refusing` makes it refuse requests as S3 would."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = threading.Lock()
        self._reason, self._left = "", 0
        self.refused = 0
        self._server = make_server(
            "127.0.0.1", 0, self._door, threaded=True, request_handler=_Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name=REGION,
            aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        )  # fmt: skip

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def bucket(self, name: str) -> str:
        """A new bucket's URI."""
        self.client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        return f"s3://{name}"

    def environment(self) -> dict[str, str]:
        """What a user sets to reach the store."""
        return {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION, "AWS_ENDPOINT_URL": self.url,
        }  # fmt: skip

    def refuse(self, reason: str, times: int = 10**9) -> None:
        """Refuse the next requests, all of them unless told otherwise."""
        self._reason, self._left, self.refused = reason, times, 0

    def relent(self) -> None:
        """Serve again."""
        self._left = 0

    @contextmanager
    def refusing(self, reason: str, times: int = 10**9) -> Iterator[None]:
        """Refuse the next requests while the block runs."""
        self.refuse(reason, times)
        try:
            yield
        finally:
            self.relent()

    def _door(self, environ, start_response):
        with self._one_at_a_time:
            if self._left > 0:
                self._left -= 1
                self.refused += 1
                return self._refusal(self._reason, environ, start_response)
            if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
                return self._refusal("unknown", environ, start_response)
            return list(self._moto(environ, start_response))

    def _refusal(self, reason: str, environ, start_response):
        status, code, message = REFUSALS[reason]
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        start_response(status, [("Content-Type", "application/xml")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [text.encode()]


def set_environment(patch, store: ObjectStore) -> None:
    """Only what the store's user sets; nothing of this machine's own."""
    for name in VARIABLES:
        patch.delenv(name, raising=False)
    for name, value in store.environment().items():
        patch.setenv(name, value)
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
