"""Which password and which certificate the client goes by, against a server of a few lines."""

import ipaddress
import ssl
from base64 import b64encode
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)

from flows.local_server import LocalServer
from flows.server import require_server, speaking_to
from flows.up_check import everything
from tasks.domain.errors import ServerUnreachable

TEAM, OWN = "team:far", "line3:secret"


class Guarded(BaseHTTPRequestHandler):
    """Anyone learns that it is well; all else is for line3."""

    def do_GET(self):
        healthy = self.path == "/api/health"
        mine = self.headers["Authorization"] == f"Basic {b64encode(OWN.encode()).decode()}"
        self.send_response(200 if healthy or mine else 401)
        self.end_headers()
        self.wfile.write(b"true" if healthy else b"{}")

    def log_message(self, *words):
        pass


@contextmanager
def guarded(context: ssl.SSLContext | None = None):
    """The server's API address."""
    with HTTPServer(("127.0.0.1", 0), Guarded) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.fixture
def certificate(tmp_path):
    """A file with a key and a certificate for 127.0.0.1 that nobody else has signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "team")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "team.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_server_of_our_own_is_called_with_its_password_and_not_with_the_teams():
    settings = {PREFECT_SERVER_API_AUTH_STRING: OWN, PREFECT_API_AUTH_STRING: TEAM}
    with guarded() as url, temporary_settings(settings):
        with speaking_to(url):
            require_server(url)
        with pytest.raises(ServerUnreachable, match="refuses PREFECT_API_AUTH_STRING"):
            require_server(url)


def test_server_and_workers_are_told_a_password_that_only_prefects_settings_know(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", TEAM)
    server = LocalServer(home=tmp_path, database="sqlite+aiosqlite://")
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: OWN}):
        told = server.environment()
    assert told["PREFECT_SERVER_API_AUTH_STRING"] == OWN
    assert told["PREFECT_API_AUTH_STRING"] == OWN


def test_a_check_without_the_password_of_a_running_server_tells_so(tmp_path):
    with guarded() as url:
        server = LocalServer(
            port=httpx.URL(url).port, home=tmp_path, database=f"sqlite+aiosqlite:///{tmp_path}/db"
        )
        found = {one.subject: one for one in everything(server, [], needs_gpu=False)}
    assert not found["server"].is_wrong
    assert found["password"].is_wrong
    assert "without PREFECT_API_AUTH_STRING" in found["password"].text


def test_a_server_with_a_certificate_of_its_own_is_believed_where_prefect_is_told_to(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with guarded(context) as url, temporary_settings({PREFECT_API_AUTH_STRING: OWN}):
        with pytest.raises(ServerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            require_server(url)
        with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(certificate)}):
            require_server(url)
        with temporary_settings({PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}):
            require_server(url)
