"""cookbook.database: a server of our own, its end with its process, and clear errors about servers of others."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from cookbook import database, paths

pytestmark = pytest.mark.slow

START = """
import sys
from pathlib import Path
from cookbook import database
server = database.start(Path(sys.argv[1]))
print(server.pid, server._guard.pid, flush=True)
"""


@pytest.fixture
def folder(monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return paths.generated("16", f"test-{time.time_ns()}")


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        with database.start(paths.generated("16", "test-shared")) as server:
            yield server


def gone(*pids: int, seconds: float = 60) -> bool:
    """Whether these processes end in time."""
    end = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def launch(folder: Path, then: str) -> subprocess.Popen:
    """A process that starts a server and then does something."""
    notebooks = paths.ROOT / "notebooks"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(notebooks), os.environ.get("PYTHONPATH", "")])}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-c", START + then, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_vectors_go_in_and_come_out(server):
    with database.connect(server.url) as connection:
        vector = np.float32([1, 2, 3])
        (back,) = connection.execute("SELECT %s::vector(3)", [vector]).fetchone()
        assert np.array_equal(back.to_numpy() if hasattr(back, "to_numpy") else back, vector)


def test_tables_lie_in_a_schema_of_their_own(server):
    with database.connect(server.url, schema='odd "name"') as connection:
        connection.execute("CREATE TABLE here (id integer)")
        found = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'here'").fetchall()
        assert found == [('odd "name"',)]


def test_a_second_start_gives_the_server_that_runs(server):
    assert database.start(paths.generated("16", "test-shared")) is server
    assert server.running()


def test_listens_on_no_network(server):
    connections = psutil.Process(server.pid).net_connections(kind="inet")
    assert not connections


def test_the_server_of_the_environment_is_used_and_left_alone(server, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", server.url)
    theirs = database.start()
    assert (theirs.url, theirs.pid) == (server.url, None)
    theirs.stop()
    assert server.running() and theirs.running()


def test_another_process_may_not_use_the_folder(server):
    process = launch(paths.generated("16", "test-shared"), "")
    assert process.wait(60) == 1
    with pytest.raises(database.DatabaseError, match="uses"):
        note = paths.generated("16", "test-owned.owner")
        note.write_text(str(os.getppid()))
        database.start(paths.generated("16", "test-owned"))


def test_stops_and_keeps_what_was_committed(folder):
    with database.start(folder) as server, database.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert gone(server.pid, seconds=1)
    with database.start(folder) as server, database.connect(server.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    assert gone(server.pid, seconds=1)


@pytest.mark.parametrize("then", ["", "raise ValueError", "import os; os._exit(3)", "import time; time.sleep(600)"])
def test_ends_with_its_process(folder, then):
    """Whether it ends well, by an error, without goodbye, or by kill -9."""
    process = launch(folder, then)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    if "sleep" in then:
        assert all(psutil.pid_exists(pid) for pid in pids)
        os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert gone(*pids)
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(folder) in (each.info["cmdline"] or [])]


def test_a_server_that_was_left_is_ended(folder):
    process = launch(folder, "import time; time.sleep(600)")
    pid, guard = (int(each) for each in process.stdout.readline().split())
    os.kill(guard, signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    with database.start(folder) as server:
        assert server.pid != pid
        assert gone(pid, seconds=1)


def test_a_broken_folder_is_told(folder):
    folder.mkdir()
    (folder / "something").write_text("else")
    with pytest.raises(database.DatabaseError, match=r"did not start.*Delete the folder"):
        database.start(folder)


def test_a_server_that_does_not_answer_is_told():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        port = closed.getsockname()[1]
        url = f"postgresql://me:word@127.0.0.1:{port}/films"
        with pytest.raises(database.DatabaseError, match=rf"answers on 127.0.0.1, port {port}.*unset it") as caught:
            database.connect(url)
    assert "word" not in str(caught.value).replace("password", "")


def test_an_address_that_is_none_is_told():
    with pytest.raises(database.DatabaseError, match="no address"):
        database.connect("postgresql//localhost")


def test_a_server_without_pgvector_is_told(server):
    with database.connect(server.url) as connection:  # a database where the extension is not yet
        connection.autocommit = True
        connection.execute("CREATE DATABASE bare")
    bare = server.url.replace("/postgres?", "/bare?")
    assert bare != server.url
    with pytest.raises(database.DatabaseError, match="no pgvector"):
        database.connect(bare + "&options=-c%20extension_control_path%3D/nowhere")


def test_a_user_who_may_not_add_it_is_told(server):
    with database.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE closed")
        connection.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(database.DatabaseError, match="may not add pgvector"):
        database.connect(server.url.replace("/postgres?", "/closed?").replace("postgres:@", "guest:@"))


def test_an_old_pgvector_is_told(server, monkeypatch):
    monkeypatch.setattr(database, "LEAST", (99, 0))
    with pytest.raises(database.DatabaseError, match="too old"):
        database.connect(server.url)
