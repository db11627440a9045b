"""docker/Dockerfile: what hadolint says, what it copies, what the build is sent."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from compose_stack import COMPOSE, ROOT, UID
from docker.utils.build import exclude_paths

DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
MEGABYTE = 2**20


def last_stage() -> str:
    return DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("hadolint")
    return subprocess.run([linter, "--no-color", path], capture_output=True, text=True, check=False)


def test_hadolint_has_nothing_to_say_about_it_and_would_speak(tmp_path):
    said = hadolint(ROOT / "docker/Dockerfile")
    assert (said.returncode, said.stdout) == (0, "")
    planted = tmp_path / "Dockerfile"
    planted.write_text(DOCKERFILE.replace("tini=0.19.0-1*", "tini").replace("USER 10001:10001", ""))
    found = hadolint(planted)
    assert found.returncode == 1
    assert "DL3008" in found.stdout, "an unpinned package"


def test_bases_are_pinned_and_the_image_runs_as_its_own_user():
    bases = re.findall(r"^ARG \w+_IMAGE=(\S+)", DOCKERFILE, re.M)
    assert bases
    assert all(re.search(r":\d+\.\d+", base) for base in bases)
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert all(re.match(r"\$\{\w+_IMAGE\}", base) for base in stages)
    assert re.findall(r"^USER (\S+)", last_stage(), re.M) == [f"{UID}:{UID}"]
    assert f"--uid {UID}" in last_stage()


def test_the_last_stage_compiles_nothing_and_takes_no_source():
    installed = re.search(r"apt-get install (.*?)\\?\n", last_stage())[1]
    assert re.findall(r"(?<= )[a-z][\w.+-]*", f" {installed}") == ["tini"]
    copied = re.findall(r"^COPY (.*)$", last_stage(), re.M)
    assert copied == [
        "--from=dependencies /opt/poolstar /opt/poolstar",
        "docker/health.py /opt/poolstar/health.py",
    ]


def test_the_build_is_sent_what_it_copies_and_little_else():
    patterns = (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in patterns if line and not line.startswith("#")]
    sent = {Path(one) for one in exclude_paths(str(ROOT), patterns) if (ROOT / one).is_file()}
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    wanted = re.compile(
        r"(flows|tasks|deployments)/|docker/(install\.sh|health\.py)$|"
        r"(pyproject\.toml|constraints\.txt|README\.md|LICENSE|docker/Dockerfile\S*)$"
    )
    assert {str(one) for one in sent} >= {one for one in tracked if wanted.match(one)} - {
        "docker/Dockerfile",
        "docker/Dockerfile.dockerignore",
    }
    strange = {str(one) for one in sent} - {one for one in tracked if wanted.match(one)}
    assert not {one for one in strange if not wanted.match(one)}, "sent for nothing"
    weights = sum((ROOT / one).stat().st_size for one in sent if "models/tiny" in str(one))
    rest = sum((ROOT / one).stat().st_size for one in sent) - weights
    assert rest < 3 * MEGABYTE


def test_the_image_is_named_after_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tag = f"{project['name']}:{project['version']}"
    assert f"--tag {tag} ." in DOCKERFILE
    assert tag.replace(":", ":${POOLSTAR_VERSION:-") + "}" in COMPOSE.read_text()


def test_every_file_that_the_dockerfile_copies_is_there():
    for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M):
        for source in words.split()[:-1]:
            assert (ROOT / source).exists(), source
