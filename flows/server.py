"""The Prefect server that is configured: is it there, and does it let us in?"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tasks.domain.errors import ServerUnreachable

TIMEOUT_S = 10.0


def configured_server() -> str | None:
    """The address in PREFECT_API_URL or Prefect's profile; None: the embedded server is used."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def require_server(url: str) -> None:
    """Ask the server at `url` for a page that needs the credentials.

    Raises:
        ServerUnreachable: no answer, refused, or not a Prefect API.
    """
    from prefect.settings import get_current_settings

    secret = get_current_settings().api.auth_string
    name, _, word = (secret.get_secret_value() if secret else "").partition(":")
    auth = httpx.BasicAuth(name, word) if secret else None
    try:
        answer = httpx.get(f"{url}/admin/version", auth=auth, timeout=TIMEOUT_S, verify=_trusted())
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        raise ServerUnreachable(
            f"Expected a Prefect server at {url}, but: {exc}; start one with `poolstar up`, set "
            "PREFECT_API_URL to the address of yours (it ends in /api), or unset it to run without"
        ) from exc
    if answer.status_code in {401, 403}:
        raise ServerUnreachable(
            f"Expected the server at {url} to let us in, but it refuses "
            + ("PREFECT_API_AUTH_STRING" if auth else "calls without PREFECT_API_AUTH_STRING")
            + "; set it to the server's USER:PASSWORD"
        )
    if answer.status_code != 200:
        raise ServerUnreachable(
            f"Expected a Prefect API at {url}, but it answers {answer.status_code}; "
            "PREFECT_API_URL ends in /api"
        )


def _trusted() -> ssl.SSLContext | bool:
    """Which certificates are believed, by the settings that Prefect's own client goes by."""
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    if api.tls_insecure_skip_verify:
        return False
    return ssl.create_default_context(cafile=api.ssl_cert_file) if api.ssl_cert_file else True


def reached_server() -> str:
    """The address of the configured server, which answers.

    Raises:
        ServerUnreachable: none is configured, or it does not answer.
    """
    url = configured_server()
    if url is None:
        raise ServerUnreachable(
            "Expected PREFECT_API_URL to name a server, but it is not set; start one with "
            "`poolstar up`, then export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    require_server(url)
    return url


def own_secret() -> str | None:
    """USER:PASSWORD that a server started here asks for, in the shell or Prefect's profile."""
    from prefect.settings import get_current_settings

    secret = get_current_settings().server.api.auth_string
    return secret.get_secret_value() if secret else None


@contextmanager
def speaking_to(url: str) -> Iterator[None]:
    """Prefect's client speaks to this server, with the password that servers here ask for.

    PREFECT_API_AUTH_STRING, which may be that of a team's server, only counts where none is set.
    """
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    secret = own_secret() or PREFECT_API_AUTH_STRING.value()
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: secret}):
        yield
