"""docker/compose.yaml as docker compose resolves it: what is open, who runs, what is kept."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import compose_stack
import pytest

SECRETS = ("PREFECT_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_SECRET_KEY")
ONE_SHOT = {"migrate", "deploy"}


@pytest.fixture(scope="module")
def env_file(tmp_path_factory):
    return compose_stack.secrets(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
def stack(env_file):
    return compose_stack.resolved(compose_stack.COMPOSE, env_file=env_file)


@pytest.fixture(scope="module")
def services(stack):
    return stack["services"]


@pytest.mark.parametrize("name", SECRETS)
def test_compose_refuses_to_start_without_a_secret_and_names_it(name, env_file, tmp_path):
    lines = env_file.read_text().splitlines()
    for left in ("", f"{name}=\n"):
        fewer = tmp_path / "fewer.env"
        fewer.write_text(left + "\n".join(line for line in lines if not line.startswith(name)))
        refused = compose_stack.config(compose_stack.COMPOSE, env_file=fewer)
        assert refused.returncode != 0
        assert f"{name} is missing a value: see docker/.env.example" in refused.stderr


def test_secrets_are_random_and_nowhere_in_the_files(env_file, tmp_path):
    drawn = dict(line.split("=") for line in env_file.read_text().splitlines())
    again = compose_stack.secrets(tmp_path).read_text()
    assert tuple(drawn) == SECRETS
    assert len({*drawn.values()}) == 4
    assert all(re.fullmatch("[0-9a-f]{48}", word) and word not in again for word in drawn.values())
    example = (compose_stack.ROOT / "docker/.env.example").read_text()
    assert all(f"\n{name}=\n" in example for name in SECRETS)
    text = compose_stack.COMPOSE.read_text()
    for name in re.findall(r"(\w*(?:PASSWORD|SECRET|AUTH)\w*): (\S+)", text):
        assert "${" in name[1], name


def test_a_restart_leaves_the_pools_limit_and_a_new_pool_takes_one_run(services):
    assert "--limit" not in services["deploy"]["command"]
    assert services["deploy"]["environment"]["CUDA_VISIBLE_DEVICES"] == ""


def test_secrets_are_their_owners_alone_and_never_overwritten(tmp_path):
    script = shutil.copy(compose_stack.ROOT / "docker/secrets.sh", tmp_path)
    subprocess.run(["sh", "-c", f"umask 022; {script}"], check=True)
    path = tmp_path / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    again = subprocess.run([script], check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "down --volumes" in again.stderr
    assert path.read_bytes() == before


def test_two_ports_are_published_and_both_on_loopback(services):
    published = {
        (name, port["host_ip"], port["published"])
        for name, service in services.items()
        for port in service.get("ports", [])
    }
    assert published == {("server", "127.0.0.1", "4200"), ("store", "127.0.0.1", "8333")}


def test_only_what_is_published_can_reach_out(stack, services):
    assert stack["networks"]["inside"]["internal"] is True
    assert {n for n, one in services.items() if set(one["networks"]) != {"inside"}} == {
        "server",
        "store",
    }
    assert not any(one.get("network_mode") for one in services.values())


def test_no_container_is_root_or_may_become_it_or_writes_beyond_its_volumes(services):
    for name, service in services.items():
        user, group = service["user"].split(":")
        assert int(user) >= 999, name
        assert int(group) >= 999, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "pid", "devices"} & set(service), name
        assert all("docker.sock" not in str(one) for one in service.get("volumes", [])), name


def test_every_image_has_a_version_and_every_service_bounds(services):
    for name, service in services.items():
        assert re.search(r":\d+\.\d+[\w.\-]*$", service["image"]), (name, service["image"])
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits), name
        assert service["logging"]["options"]["max-size"], name


def test_what_runs_on_is_checked_and_what_others_wait_for_is_healthy_or_done(services):
    for name, service in services.items():
        assert bool(service["healthcheck"].get("test")) == (name not in ONE_SHOT), name
        for other, wish in service.get("depends_on", {}).items():
            expected = "completed_successfully" if other in ONE_SHOT else "healthy"
            assert wish["condition"] == f"service_{expected}", (name, other)
    assert set(services["worker"]["depends_on"]) == {"deploy", "store"}


def test_what_must_last_lies_on_volumes(stack, services):
    kept = {
        name: [one["target"] for one in service.get("volumes", []) if one["type"] == "volume"]
        for name, service in services.items()
    }
    assert {name: targets for name, targets in kept.items() if targets} == {
        "postgres": ["/var/lib/postgresql/data"],
        "redis": ["/data"],
        "store": ["/objects"],
        "worker": ["/var/lib/poolstar"],
    }
    assert set(stack["volumes"]) == {"postgres", "redis", "objects", "worker"}
    read = [one for one in services["worker"]["volumes"] if one["type"] == "bind"]
    assert {one["target"] for one in read} == {"/images", "/models"}
    assert all(one["read_only"] for one in read)


def test_the_worker_asks_for_a_gpu_and_without_one_does_not(services, env_file):
    def devices(worker):
        return worker["deploy"]["resources"]["reservations"].get("devices")

    assert devices(services["worker"]) == [
        {"capabilities": ["gpu"], "driver": "nvidia", "device_ids": ["0"]}
    ]
    cpu = compose_stack.resolved(compose_stack.COMPOSE, compose_stack.CPU, env_file=env_file)
    assert not devices(cpu["services"]["worker"])
    cpu["services"].pop("worker")
    rest = {name: one for name, one in services.items() if name != "worker"}
    assert json.dumps(cpu["services"], sort_keys=True) == json.dumps(rest, sort_keys=True)


def test_with_another_s3_the_store_is_left_out_and_the_worker_reaches_it(env_file, tmp_path):
    files = (compose_stack.COMPOSE, compose_stack.S3)
    refused = compose_stack.config(*files, env_file=env_file)
    assert "S3_ENDPOINT_URL is missing a value: see docker/.env.example" in refused.stderr
    other = tmp_path / "other.env"
    named = "S3_ENDPOINT_URL=https://s3.example.org\nS3_ACCESS_KEY=theirs\n"
    other.write_text(env_file.read_text() + named)
    stack = compose_stack.resolved(*files, env_file=other)
    assert "store" not in stack["services"]
    worker = stack["services"].pop("worker")
    assert set(worker["depends_on"]) == {"deploy"}
    assert set(worker["networks"]) == {"inside", "outside"}
    assert not stack["networks"]["outside"].get("internal")
    assert worker["environment"]["AWS_ENDPOINT_URL"] == "https://s3.example.org"
    assert worker["environment"]["AWS_ACCESS_KEY_ID"] == "theirs"
    assert not any("outside" in one["networks"] for one in stack["services"].values())


def test_server_and_services_share_one_environment_and_no_one_else_knows_the_database(services):
    assert services["server"]["environment"] == services["services"]["environment"]
    word = services["server"]["environment"]["PREFECT_SERVER_DATABASE_PASSWORD"]
    knows = {n for n, one in services.items() if word in json.dumps(one.get("environment", {}))}
    assert knows == {"postgres", "migrate", "server", "services"}


def test_a_service_reaches_others_by_names_that_exist(services):
    hosts = set()
    for service in services.values():
        for value in (service.get("environment") or {}).values():
            hosts |= set(re.findall(r"(?:://(?:[^@/]*@)?)([a-z]+)(?=:\d)", value or ""))
    assert hosts <= set(services), hosts


def test_the_example_names_what_compose_reads_and_nothing_else():
    example = (compose_stack.ROOT / "docker/.env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.M))
    files = (compose_stack.COMPOSE, compose_stack.CPU, compose_stack.S3)
    read = set(re.findall(r"\$\{(\w+)", "".join(Path(one).read_text() for one in files)))
    assert named == read - {"POOLSTAR_VERSION"}
