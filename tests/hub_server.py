"""A small hub on loopback: the listing of a revision and its files, ranges included."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


class Hub:
    """What the server holds, and how it misbehaves.

    Attributes:
        files: content by "REPOSITORY/REVISION/PATH", or by the bare path outside repositories.
        listed: content that the listing tells the hashes of; by default that of the files.
        break_after: bytes after which the next answer breaks off; None: it does not.
        asked: path and range of every file asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.listed: dict[str, bytes] = {}
        self.break_after: int | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def listing(self, name: str, revision: str) -> dict:
        prefix = f"{name}/{revision}/"
        paths = [key.removeprefix(prefix) for key in self.files if key.startswith(prefix)]
        return {
            "id": name, "sha": revision, "private": False, "downloads": 0, "likes": 0, "tags": [],
            "siblings": [self._sibling(prefix, path) for path in paths],
        }  # fmt: skip

    def _sibling(self, prefix: str, path: str) -> dict:
        data = self.listed.get(prefix + path, self.files[prefix + path])
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        about = {"rfilename": path, "size": len(data), "blobId": blob}
        if path.endswith(".safetensors"):
            digest = hashlib.sha256(data).hexdigest()
            about["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
        return about


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub under a loopback address while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path).strip("/")
            if path.startswith("api/models/"):
                name, _, revision = path.removeprefix("api/models/").partition("/revision/")
                self._answer(200, json.dumps(hub.listing(name, revision)).encode())
                return
            wanted = self.headers.get("Range")
            hub.asked.append((path, wanted))
            data = hub.files.get(path.replace("/resolve/", "/"))
            if data is None:
                self._answer(404, b"")
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if wanted and start >= len(data):
                self._answer(416, b"")
                return
            self._answer(206 if wanted else 200, data[start:])

        def _answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if hub.break_after is not None and status in {200, 206} and len(data) > hub.break_after:
                data, hub.break_after = data[: hub.break_after], None
                self.close_connection = True
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
