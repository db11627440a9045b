"""Whether a container does its work: exits with 0, or with 1 and says why.

health.py URL       the server, or a worker started with --with-healthcheck, answers at URL
health.py services  the background services have given a sign of life to Redis within seconds
"""

import asyncio
import sys
import urllib.request


def require_answer(url: str) -> None:
    """Raises OSError where `url` does not answer with 200."""
    urllib.request.urlopen(url, timeout=10).close()  # noqa: S310 (an address of this image's own)


async def require_services() -> None:
    """Raises RuntimeError where no process of background services has been seen lately."""
    from docket import Docket
    from prefect.settings import get_current_settings

    settings = get_current_settings().server.docket
    async with Docket(name=settings.name, url=settings.url) as docket:
        if not await docket.workers():
            raise RuntimeError(f"no background service has been seen in {settings.name}")


def main() -> None:
    """Check what the command line names."""
    try:
        if sys.argv[1] == "services":
            asyncio.run(asyncio.wait_for(require_services(), timeout=10))
        else:
            require_answer(sys.argv[1])
    except Exception as exc:
        sys.exit(f"unhealthy: {type(exc).__name__}: {exc}")


if __name__ == "__main__":
    main()
