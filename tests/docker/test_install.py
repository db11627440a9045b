"""The image's own installation steps (docker/install.sh), without Docker, and what they install.

The packages are 7 GB and take minutes, so they are installed anew on CI or with FULL_INSTALL=1;
elsewhere the new environment borrows those of this one. poolstar itself is always built and
installed anew, and used from elsewhere, as a user who may not write it.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import compose_stack
import pytest
from compose_stack import ROOT, UID

pytestmark = pytest.mark.slow
INSTALL = ROOT / "docker/install.sh"
IS_FULL = bool(os.environ.get("CI") or os.environ.get("FULL_INSTALL"))


@pytest.fixture(scope="module")
def place():
    """A folder that the image's user may reach; gigabytes, so it goes as soon as it can."""
    folder = Path(tempfile.mkdtemp(prefix="poolstar-install-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def context(place):
    """What the build is sent: the tracked files, without what building leaves behind."""
    source = place / "context"
    source.mkdir()
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT)
    subprocess.run(
        ["cp", "--parents", "--no-dereference", "--target-directory", source,
         *(one for one in listed.decode().split("\0") if one and not one.startswith("tests/"))],
        cwd=ROOT, check=True,
    )  # fmt: skip
    return source


def install(context: Path, *words) -> None:
    """A step of the Dockerfile, with this interpreter as its python3.11."""
    path = f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [context / "docker/install.sh", *words], capture_output=True, text=True, check=False,
        env=environment, cwd=context,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.fixture(scope="module")
def wheel(context, place):
    install(context, "wheel", place / "wheels")
    (built,) = (place / "wheels").iterdir()
    return built


@pytest.fixture(scope="module")
def venv(context, wheel, place):
    folder = place / "venv"
    if IS_FULL:
        install(context, "dependencies", folder)
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        old = [folder / "bin/pip", "uninstall", "--quiet", "--yes", "setuptools"]
        subprocess.run(old, check=True)  # torch asks for a newer one than the interpreter brings
        (site,) = (folder / "lib").glob("python3*/site-packages")
        (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install(context, "package", wheel.parent, folder)
    return folder


def use(venv: Path, place: Path, *words: str, **options) -> subprocess.CompletedProcess[str]:
    """A command of the installation as the image's user, in a folder of that user's own."""
    home = place / "home"
    if not home.exists():
        home.mkdir()
        if os.geteuid() == 0:
            shutil.chown(home, UID, UID)
    user = compose_stack.AS_IMAGE_USER if os.geteuid() == 0 else ()
    environment = {
        "PATH": f"{venv}/bin:/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(home),
        "LANG": "C.UTF-8", "PREFECT_HOME": str(home / "prefect"), "COLUMNS": "100",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    return subprocess.run(
        [*user, *words], env=environment, cwd=home, capture_output=True, text=True, check=False,
        timeout=900, **options,
    )  # fmt: skip


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = subprocess.check_output(
        ["git", "ls-files", "flows", "tasks", "deployments"], cwd=ROOT
    )
    assert inside == set(tracked.decode().split())


def test_poolstar_is_the_wheel_and_not_this_checkout(venv, place):
    code = "import flows, tasks; print(flows.__file__, tasks.__file__)"
    done = use(venv, place, "python", "-c", code)
    assert done.stdout.split() == [
        str(next(venv.glob("lib/python3*/site-packages")) / name / "__init__.py")
        for name in ("flows", "tasks")
    ], done.stderr


def test_every_package_has_the_version_that_constraints_txt_gives(venv, place):
    if not IS_FULL:
        pytest.skip("the packages are borrowed; FULL_INSTALL=1 installs them (7 GB)")
    done = use(venv, place, "python", "-m", "pip", "freeze")
    assert done.returncode == 0, done.stderr
    installed, pinned = versions(done.stdout), versions((ROOT / "constraints.txt").read_text())
    assert "torch" in installed
    del installed["poolstar"]
    assert {name: one for name, one in installed.items() if pinned.get(name) != one} == {}


def versions(lines: str) -> dict[str, str]:
    """Version by name, as pip compares names."""
    found = (re.match(r"([\w.-]+) ?(?:==|@) ?(\S+)", line) for line in lines.splitlines())
    return {re.sub(r"[-_.]+", "-", one[1]).lower(): one[2] for one in found if one}


def test_the_user_of_the_image_cannot_write_the_installation(venv, place):
    if os.geteuid():
        pytest.skip("only root can become the image's user")
    done = use(venv, place, "touch", str(venv / "bin/poolstar"))
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_commands_models_and_deployments_are_there(venv, place):
    assert "grow" in use(venv, place, "poolstar", "--help").stdout
    checked = use(venv, place, "poolstar", "models", "check", "tiny")
    assert checked.returncode == 0, checked.stderr
    code = "from flows.deployments import defined; print(defined('prefect.yaml', 'deployments'))"
    listed = use(venv, place, "python", "-c", code)
    assert "flows.grow_pool.grow_pool" in listed.stdout, listed.stderr


def test_a_pool_grows_and_verifies(venv, place):
    plant = (
        "from flows.terminal import quiet_prefect; quiet_prefect();"
        "from flows.simulate_factory import simulate_factory as f;"
        "from tasks.domain.parameters import FactoryParams as P;"
        "f(P(out='plant', ok=16, ko=12, batch_size=32))"
    )
    rendered = use(venv, place, "python", "-c", plant)
    assert rendered.returncode == 0, rendered.stderr[-3000:]
    grown = use(
        venv, place, "poolstar", "grow", "plant", "--pool", "pool", "--kind", "porosity",
        "--target", "2", "--rounds", "2",
    )  # fmt: skip
    assert grown.returncode == 0, grown.stdout[-2000:] + grown.stderr[-3000:]
    verified = use(venv, place, "poolstar", "pool", "verify", "--pool", "pool")
    assert verified.returncode == 0, verified.stdout + verified.stderr
