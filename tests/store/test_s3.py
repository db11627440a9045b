"""A pool and an image store on s3://: what holds in a folder holds there; failures have words."""

import os
import signal
import subprocess
import sys
import time

import pytest
from landed import columns, land, run_row
from object_store import KEY, SECRET
from s3fs import S3FileSystem

from tasks.domain.errors import (
    PoolLocked,
    PoolMoved,
    PoolstarError,
    StorageRefused,
    TransientError,
)
from tasks.store.archive import Archive
from tasks.store.claims import Claim, claim_of, claim_version
from tasks.store.files import ContentStore, write_whole
from tasks.store.lease import Lease
from tasks.store.remote import place
from tasks.store.rows import PoolRow


@pytest.fixture
def pool(bucket) -> str:
    uri = f"{bucket}/line3/pool"
    land(uri, "r1", ["a", "b"], ["c"])
    return uri


def ids_of(archive: Archive, version: str) -> list[str]:
    """The accepted images of a version, sorted."""
    return [row["id"] for row in archive.labels("pool", version)]


def test_a_pool_on_s3_lands_verifies_and_reads_as_one_in_a_folder(pool, tmp_path):
    land(tmp_path / "pool", "r1", ["a", "b"], ["c"])
    land(tmp_path / "pool", "r2", ["d"], base="v1")
    land(pool, "r2", ["d"], base="v1")
    there, here = Archive(pool), Archive(str(tmp_path / "pool"))
    assert there.versions() == ["v1", "v2"]
    for version in there.versions():
        assert there.verify(version).ok
        assert there.verify(version).manifest == here.verify(version).manifest
    assert there.list_rows() == here.list_rows()
    assert there.embeddings_sha256("v2") == here.embeddings_sha256("v2")
    assert there.row("d")["image"] == here.row("d")["image"]


def test_forgetting_on_s3_leaves_no_byte_of_the_source(s3, bucket):
    uri, secret = f"{bucket}/pool", b"the customer's own photograph"
    land(uri, "r1", ["a"], source="s1", source_bytes=secret)
    land(uri, "r2", ["b"], base="v1", source="s2")
    grave = Archive(uri).forget("s1", why="asked")
    assert grave.version == "v3"
    assert Archive(uri).verify("v1").ok
    assert Archive(uri).verify("v3").ok
    assert [row["id"] for row in Archive(uri).list_rows()] == ["b"]
    assert Archive(uri).forget("s1") == grave
    listing = s3.client.list_objects_v2(Bucket=bucket[5:])["Contents"]
    assert len(listing) > 10
    for one in listing:
        body = s3.client.get_object(Bucket=bucket[5:], Key=one["Key"])["Body"].read()
        assert secret not in body, one["Key"]


def test_a_content_store_on_s3_keeps_and_checks(bucket, s3):
    store = ContentStore(f"{bucket}/pool.store")
    ref = store.put(b"pixels")
    assert store.put(b"pixels") == ref
    assert store.get(ref) == b"pixels"
    assert ContentStore(f"{bucket}/pool.store").identity == store.identity
    store.remember("0" * 64, b"first")
    store.remember("0" * 64, b"second")
    assert store.recall("0" * 64) == b"first"
    assert store.recall("1" * 64) is None
    s3.client.put_object(Bucket=bucket[5:], Key=ref.uri.split("/", 3)[3], Body=b"other")
    with pytest.raises(PoolstarError, match="its bytes have changed"):
        store.get(ref)
    s3.client.delete_object(Bucket=bucket[5:], Key=ref.uri.split("/", 3)[3])
    with pytest.raises(PoolstarError, match="it is missing"):
        store.get(ref)


def test_a_report_can_lie_on_s3(bucket):
    write_whole(f"{bucket}/line3/report.html", b"<html>")
    assert place(f"{bucket}/line3/report.html").read_bytes() == b"<html>"


# --- one writer -------------------------------------------------------------------------------

LANDING = """
import sys
sys.path.insert(0, "tests")
import tasks.store.lease as lease
from landed import PoolRow, RejectedRow, columns, run_row, source_row
from tasks.domain.errors import PoolMoved
from tasks.store.archive import Archive
lease.LEASE_S = float(sys.argv[4])
uri, run, ids = sys.argv[1], sys.argv[2], sys.argv[3].split(",")

def rows():
    print("writing", flush=True)
    for one in ids:
        if one == "wait":
            sys.stdin.read()
        yield PoolRow(**columns(one, run_id=run))

while True:
    try:
        base = Archive(uri).latest()
        print(Archive(uri).land(run_row(run, base), pool=rows(), rejected=[],
                                sources=[source_row()], embedding_dim=8).version, flush=True)
        break
    except PoolMoved:
        print("moved", flush=True)
"""


def landing(uri: str, run: str, ids: str, lease_s: float = 30.0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", LANDING, uri, run, ids, str(lease_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(params=["folder", "s3"])
def shared(request, tmp_path) -> str:
    """Where two processes land at once."""
    if request.param == "folder":
        return str(tmp_path / "pool")
    return f"{request.getfixturevalue('bucket')}/pool"


@pytest.mark.slow
def test_processes_landing_at_once_lose_and_repeat_nothing(shared):
    runs = [landing(shared, f"r{i}", f"a{i},b{i},common") for i in range(2)]
    runs.append(landing(shared, "r0", "a0,b0,common"))  # the same run, elsewhere
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0] * 3, said
    archive = Archive(shared)
    assert archive.versions() == ["v1", "v2"]
    assert all(archive.verify(version).ok for version in archive.versions())
    assert archive._open("pool").count_rows() == 5
    assert ids_of(archive, "v2") == ["a0", "a1", "b0", "b1", "common"]
    landed = [out.split()[-1] for out, _ in said]
    assert landed[0] == landed[2]
    assert sorted(landed[:2]) == ["v1", "v2"]


@pytest.mark.slow
def test_a_writer_killed_while_it_holds_the_lease_blocks_nobody_for_longer(pool):
    killed = landing(pool, "r2", "d,wait", 3.0)
    assert killed.stdout.readline() == "writing\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert Archive(pool).verify().ok
    started = time.monotonic()
    after = landing(pool, "r3", "e,f", 3.0)
    out, err = after.communicate(timeout=60)
    assert after.returncode == 0, err
    assert out.split()[-1] == "v2"
    assert time.monotonic() - started > 2.5
    assert ids_of(Archive(pool), "v2") == ["a", "b", "e", "f"]
    assert Archive(pool).verify().ok


@pytest.mark.slow
def test_a_writer_that_slept_past_its_lease_harms_nothing(pool):
    """SIGSTOP is what a suspended machine looks like to the others."""
    asleep = landing(pool, "r2", "d,wait,g", 2.0)
    assert asleep.stdout.readline() == "writing\n"
    os.kill(asleep.pid, signal.SIGSTOP)
    out, err = landing(pool, "r3", "e,f", 2.0).communicate(timeout=60)
    assert out.split()[-1] == "v2", err
    os.kill(asleep.pid, signal.SIGCONT)
    out, err = asleep.communicate(input="", timeout=60)
    assert asleep.returncode == 0, err
    assert out.split() == ["moved", "writing", "v3"]
    archive = Archive(pool)
    assert ids_of(archive, "v2") == ["a", "b", "e", "f"]
    assert ids_of(archive, "v3") == ["a", "b", "d", "e", "f", "g", "wait"]
    assert all(archive.verify(version).ok for version in archive.versions())


def test_a_lease_held_elsewhere_is_waited_for_and_then_said(bucket, monkeypatch):
    monkeypatch.setattr("tasks.store.lease.LOCK_TIMEOUT_S", 0.3)
    with Lease(f"{bucket}/pool.lock", 5.0).held() as require_held:
        require_held()
        with (
            pytest.raises(PoolLocked, match=r"another run holds .* try again later"),
            Lease(f"{bucket}/pool.lock", 5.0).held(),
        ):
            pass
    with Lease(f"{bucket}/pool.lock", 5.0).held():
        pass


def test_a_lease_is_renewed_while_it_is_held_and_lost_when_it_cannot_be(bucket, s3):
    lease = Lease(f"{bucket}/pool.lock", 1.0)
    with lease.held() as require_held:
        first, deadline = lease._tag, time.monotonic() + 10
        while lease._tag == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lease._tag != first
        require_held()
        s3.client.put_object(Bucket=bucket[5:], Key="pool.lock", Body=b'{"is_free": false}')
        while lease._valid_until and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(PoolLocked, match="may be another run's"):
            require_held()


def test_a_run_judged_against_an_older_version_does_not_land(pool):
    land(pool, "r2", ["d"], base="v1")
    with pytest.raises(PoolMoved, match=r"at v1.* but it is at v2"):
        land(pool, "r3", ["e"], base="v1")
    assert Archive(pool).versions() == ["v1", "v2"]


def test_a_claimed_version_is_finished_by_the_next_writer(shared, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    for count, (run, base) in enumerate((("r1", None), ("r2", "v1"))):
        monkeypatch.setattr(Archive, "_set_tags", killed)
        with pytest.raises(KeyboardInterrupt):
            land(shared, run, [run, f"{run}b"], base=base)
        monkeypatch.undo() if "s3" not in shared else monkeypatch.delattr(Archive, "_set_tags")
        assert len(Archive(shared).versions()) == count
        assert land(shared, run, ["other rows"], base=base).version == f"v{count + 1}"
        assert Archive(shared).verify().ok
    assert ids_of(Archive(shared), "v2") == ["r1", "r1b", "r2", "r2b"]


def test_a_claim_that_comes_second_takes_nothing(shared, monkeypatch):
    """Whatever made two writers reach the end at once, one version has one owner."""
    land(shared, "r1", ["a"])
    other = Claim(version="v2", run_id="other", positions={})
    assert claim_version(shared, other)
    assert not claim_version(shared, other.model_copy(update={"run_id": "late"}))
    assert claim_of(shared, "v2") == other


# --- failures ---------------------------------------------------------------------------------


def reached(uri: str) -> list:
    """Everything that reaches a pool or a store."""
    return [
        lambda: Archive(uri).versions(),
        lambda: Archive(uri).verify(),
        lambda: land(uri, "r9", ["z"], base="v1"),
        lambda: ContentStore(f"{uri}.store").put(b"pixels"),
        lambda: ContentStore(f"{uri}.store").recall("0" * 64),
        lambda: write_whole(f"{uri}/report.html", b"<html>"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["expired", "unknown", "busy"])
def test_refusals_are_said_plainly_and_leave_the_last_version_whole(pool, s3, reason):
    kind = TransientError if reason == "busy" else StorageRefused
    words = "too busy" if reason == "busy" else r"refuses the credentials .*set AWS_ACCESS_KEY_ID"
    calls = reached(pool)
    with s3.refusing(reason):
        for call in calls[:1] + calls[-2:] if reason == "busy" else calls:  # busy: tried again
            with pytest.raises(kind, match=words) as caught:
                call()
            assert SECRET not in str(caught.value)
            assert KEY not in str(caught.value)
            assert "Token-0" not in str(caught.value)
    assert Archive(pool).versions() == ["v1"]
    assert Archive(pool).verify().ok


@pytest.mark.slow
def test_a_store_that_refuses_in_the_middle_of_landing_leaves_the_last_version_whole(
    pool, s3, monkeypatch
):
    monkeypatch.setattr("tasks.store.lease.LEASE_S", 1.0)  # which it cannot give back
    before = Archive(pool).verify()

    def rows():
        yield PoolRow(**columns("d", run_id="r2"))
        s3.refuse("expired")

    with pytest.raises(StorageRefused):
        Archive(pool).land(
            run_row("r2", "v1"), pool=rows(), rejected=[], sources=[], embedding_dim=8
        )
    s3.relent()
    assert Archive(pool).verify() == before
    assert land(pool, "r2", ["d"], base="v1").version == "v2"


def test_a_few_refusals_of_a_busy_store_are_outlasted(pool, s3):
    with s3.refusing("busy", 2):
        assert ContentStore(f"{pool}.store").put(b"pixels").sha256
        assert s3.refused == 2
    with s3.refusing("busy", 2):
        assert Archive(pool).verify().ok
        assert s3.refused == 2


@pytest.mark.slow
def test_an_endpoint_that_is_not_there_is_said_plainly(pool, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    S3FileSystem.clear_instance_cache()  # a process keeps the environment it began with
    for call in (lambda: Archive(pool).verify(), lambda: ContentStore(pool).put(b"pixels")):
        with pytest.raises(TransientError, match=r"127.0.0.1:9 .*out of reach"):
            call()


def test_a_bucket_that_is_not_there_is_said_plainly(s3):
    uri = "s3://no-such-bucket/pool"
    for call in (
        lambda: land(uri, "r1", ["a"]),
        lambda: ContentStore(f"{uri}.store").put(b"pixels"),
    ):
        with pytest.raises(StorageRefused, match="Expected the bucket no-such-bucket"):
            call()


def test_no_credentials_at_all_are_said_plainly(pool, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    S3FileSystem.clear_instance_cache()
    for call in (lambda: Archive(pool).verify(), lambda: ContentStore(pool).put(b"pixels")):
        with pytest.raises(StorageRefused, match="the environment holds none"):
            call()


def test_credentials_in_a_uri_are_refused_and_not_repeated():
    for call in (
        lambda: Archive("s3://key:hidden@bucket/pool"),
        lambda: ContentStore("s3://key:hidden@bucket/store"),
    ):
        with pytest.raises(StorageRefused, match="in the environment") as caught:
            call()
        assert "hidden" not in str(caught.value)


@pytest.mark.slow
def test_no_object_of_a_pool_holds_a_credential(pool, s3, bucket):
    land(pool, "r2", ["d"], base="v1")
    for one in s3.client.list_objects_v2(Bucket=bucket[5:])["Contents"]:
        body = s3.client.get_object(Bucket=bucket[5:], Key=one["Key"])["Body"].read()
        assert SECRET.encode() not in body
        assert KEY.encode() not in body
