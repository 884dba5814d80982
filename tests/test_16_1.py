"""Notebook 16.1: searches, their files, loading and asking PostgreSQL, and what a crash leaves."""

import os
import threading
import time
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbclient.exceptions import CellExecutionError

import book
from cookbook import database, paths
from execute import execute


@pytest.fixture(scope="module")
def nb():
    return book.definitions("16.1")


@pytest.fixture(scope="module")
def base(nb):
    return nb.unit(np.random.default_rng(0).normal(size=(500, 8)))


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        with database.start(paths.generated("16", "test-notebook")) as server:
            yield server


@pytest.fixture
def connection(nb, server):
    """A connection to empty tables of the notebook's schema."""
    with database.connect(server.url, autocommit=True) as connection:
        connection.execute(nb.DROP)
        connection.execute(nb.SCHEMA)
        yield connection


TYPES = {"id": "int4", "title": "text", "year": "int4", "genres": "text[]", "reviews": "int4", "vec": "vector"}


def film(number: int, title: str, year: int = 2000, genres: tuple = ("Drama",), reviews: int = 9, turn: float = 0):
    """A film whose vector lies at this angle (radians)."""
    vector = np.zeros(50, np.float32)
    vector[:2] = np.cos(turn), np.sin(turn)
    return [number, title, year, list(genres), reviews, vector]


@given(st.lists(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), min_size=1))
def test_unit_rows_have_length_one_or_stay_zero(nb, rows):
    lengths = np.linalg.norm(nb.unit(np.array(rows, np.float64)), axis=1)
    assert ((np.abs(lengths - 1) < 1e-5) | (lengths == 0)).all()


def test_recall_counts_what_was_found_in_any_order(nb):
    assert nb.recall([[1, 2], [3, 4]], [[2, 1], [4, 5]]) == 0.75
    assert nb.recall([[]], [[1]]) == 0
    with pytest.raises(ValueError):
        nb.recall([[1]], [[1], [2]])


def test_measure_asks_one_at_a_time(nb):
    shapes = []
    found, speed = nb.measure(lambda query: shapes.append(query.shape) or [len(shapes)], np.zeros((3, 5)))
    assert shapes == [(5,)] * 3 and found == [[1], [2], [3]] and speed > 0


@pytest.mark.parametrize("algorithm", ["brute", "ball_tree", "kd_tree"])
def test_exact_methods_agree(nb, base, algorithm):
    search, size = nb.fit_sklearn(base, algorithm)
    flat = nb.searcher(nb.fit_faiss(base))
    own = np.argsort(-base[:20] @ base.T, axis=1)[:, :10]
    for query, true in zip(base[:20], own, strict=True):
        assert search(query).tolist() == flat(query).tolist() == true.tolist()
    assert size >= base.nbytes / 1e6


def test_choose_takes_the_fastest_that_is_good_enough(nb):
    table = pd.DataFrame({"method": ["a", "b", "c"], "recall@10": [1, 0.96, 0.9], "queries/s": [1, 2, 3]})
    assert nb.choose(table)["method"] == "b"
    assert nb.choose(table, 0.8)["method"] == "c"
    with pytest.raises(ValueError, match=r"Nothing reaches recall 0\.95; the best is 0\.900"):
        nb.choose(table[2:])


def test_a_search_is_saved_and_read_back(nb, base, tmp_path):
    index = nb.fit_faiss(base, links=8)
    nb.save_search(tmp_path / "new", index, [f"film “{row}”" for row in range(500)])
    again, names = nb.load_search(tmp_path / "new")
    assert names[3] == "film “3”"
    assert [nb.searcher(again)(query).tolist() for query in base[:9]] == [
        nb.searcher(index)(query).tolist() for query in base[:9]
    ]


def test_names_of_another_index_are_refused(nb, base, tmp_path):
    index = nb.fit_faiss(base)
    with pytest.raises(ValueError, match="500 vectors need as many names, not 1"):
        nb.save_search(tmp_path, index, ["one"])
    nb.save_search(tmp_path, index, ["name"] * 500)
    (tmp_path / "names.json").write_text('["one"]')
    with pytest.raises(ValueError, match="500 vectors, but 1 names"):
        nb.load_search(tmp_path)


@pytest.mark.parametrize("file", ["index.faiss", "names.json"])
def test_a_cut_or_missing_file_is_told(nb, base, tmp_path, file):
    nb.save_search(tmp_path, nb.fit_faiss(base, links=8), ["name"] * 500)
    content = (tmp_path / file).read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / file).write_bytes(content[:cut])
        with pytest.raises(ValueError, match="save it again"):
            nb.load_search(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(ValueError, match="save it again"):
        nb.load_search(tmp_path)


def test_top_takes_the_first_among_equals(nb):
    assert nb.top(np.array([[0, 2, 2, 1], [5, 5, 5, 5]]), 3) == [[1, 2, 3], [0, 1, 2]]


@given(st.lists(st.text(st.characters(exclude_characters=","), min_size=1).map(str.strip).filter(bool)))
def test_links_are_distinct_names(nb, names):
    assert nb.links(", ".join(names)) == sorted(set(names))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=9))
def test_copy_keeps_every_title(nb, connection, titles):
    connection.execute("TRUNCATE films")
    rows = [film(number, title, genres=[title]) for number, title in enumerate(titles)]
    nb.copy_rows(connection, "films", TYPES, rows, len(rows))
    found = connection.execute("SELECT title, genres[1], vec FROM films ORDER BY id").fetchall()
    assert [each[:2] for each in found] == [(title, title) for title in titles]
    assert all(vector.to_numpy().tolist() == row[5].tolist() for (_, _, vector), row in zip(found, rows, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [film(1, "Early", year=1492), [2, "Short", 2000, [], 9, np.ones(49, np.float32)]])
def test_copy_is_all_or_nothing(nb, connection, wrong):
    with pytest.raises(psycopg.Error):
        nb.copy_rows(connection, "films", TYPES, [film(0, "Good"), wrong], 2)
    assert connection.execute("SELECT count(*) FROM films").fetchone() == (0,)


@pytest.mark.slow
def test_similar_films_by_conditions(nb, connection):
    rows = [
        film(0, "Seed", reviews=50),
        film(1, "seed", reviews=1, turn=3),  # less known: not the one that is meant
        film(2, "Near", year=1990, genres=("Comedy", "Drama"), turn=0.1),
        film(3, "Far", year=2010, genres=("Comedy",), reviews=0, turn=1),
        film(4, "Nearer", genres=(), turn=0.05),
    ]
    nb.copy_rows(connection, "films", TYPES, rows, len(rows))

    def titles(title="SEED", **conditions):
        return [found for found, *_ in nb.similar_films(connection, title, **conditions)]

    assert titles() == ["Nearer", "Near", "Far", "seed"]
    assert titles(count=1) == ["Nearer"]
    assert titles(since=1991) == ["Nearer", "Far", "seed"]
    assert titles(genre="Comedy") == ["Near", "Far"]
    assert titles(genre="Comedy", since=2000, reviews=1) == []
    assert nb.similar_films(connection, "Seed", count=1)[0][2] == 1.0
    for bad in ("None", "'; DROP TABLE films; --", "%", ""):
        with pytest.raises(ValueError, match="No film is called"):
            titles(bad)
    assert connection.execute("SELECT count(*) FROM films").fetchone() == (5,)


@pytest.mark.slow
def test_sql_finds_what_numpy_finds_with_and_without_an_index(nb, connection):
    vectors = nb.unit(np.random.default_rng(1).normal(size=(2000, 50)))
    rows = ((rank, f"word {rank}", vector) for rank, vector in enumerate(vectors))
    nb.copy_rows(connection, "words", {"rank": "int4", "word": "text", "vec": "vector"}, rows, 2000)
    nb.connection = connection
    true = nb.top(vectors[:20] @ vectors.T)
    assert nb.recall([nb.nearest(vector) for vector in vectors[:20]], true) > 0.99
    connection.execute("CREATE INDEX words_hnsw ON words USING hnsw (vec vector_ip_ops) WHERE rank < 50000")
    connection.execute("ANALYZE words; SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 200")
    assert "words_hnsw" in nb.plan(connection, nb.NEAREST, vectors[0])
    assert nb.recall([nb.nearest(vector) for vector in vectors[:20]], true) > 0.9
    assert nb.megabytes(connection, "words_hnsw") > 0.4


@pytest.mark.slow
def test_ways_to_load_are_timed_and_leave_nothing(nb, connection):
    speeds = nb.load_times(connection, np.ones((20, 50), np.float32))
    assert set(speeds) == {"INSERT, each committed", "executemany", "COPY"} and min(speeds.values()) > 0
    assert connection.execute("SELECT to_regclass('cookbook.trial')").fetchone() == (None,)


BATCH = 100


def load_batches(nb, url: str, state: SimpleNamespace) -> None:
    """Commit batch after batch of words until the server is gone."""
    rng = np.random.default_rng(0)
    types = {"rank": "int4", "word": "text", "vec": "vector"}
    try:
        with database.connect(url, autocommit=True) as connection:
            while True:
                vectors = nb.unit(rng.normal(size=(BATCH, 50)))
                first = state.committed
                rows = ((rank, f"word {rank}", vector) for rank, vector in enumerate(vectors, first))
                nb.copy_rows(connection, "words", types, rows, BATCH)  # a transaction of its own
                state.committed = first + BATCH
    except psycopg.OperationalError as error:
        state.error = error


@pytest.mark.slow
@pytest.mark.parametrize("wait", [500, 2300])
def test_kill_9_loses_nothing_that_was_committed(nb, monkeypatch, wait):
    """All processes of the server are killed in the middle of a load, with an HNSW index in place."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folder = paths.generated("16", f"test-crash-{wait}")
    server = database.start(folder)
    with database.connect(server.url, autocommit=True) as connection:
        connection.execute(nb.SCHEMA)
        connection.execute("CREATE INDEX words_hnsw ON words USING hnsw (vec vector_ip_ops) WITH (m = 8)")
    state = SimpleNamespace(committed=0, error=None)
    loader = threading.Thread(target=load_batches, args=(nb, server.url, state))
    loader.start()
    end = time.monotonic() + 60
    while state.committed < wait and time.monotonic() < end:
        time.sleep(0.005)
    main = psutil.Process(server.pid)
    for process in [main, *main.children(recursive=True)]:
        process.kill()
    loader.join(60)
    assert state.error is not None and state.committed >= wait
    assert not server.running()
    with database.start(folder) as again, database.connect(again.url, autocommit=True) as connection:
        assert again.pid != server.pid
        ranks = [rank for (rank,) in connection.execute("SELECT rank FROM words ORDER BY rank")]
        assert ranks == list(range(len(ranks)))  # no gap
        # The server may have committed one batch more, and died before it could say so.
        assert len(ranks) in (state.committed, state.committed + BATCH)
        connection.execute("SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 100")
        vectors = dict(connection.execute("SELECT rank, vec FROM words WHERE rank % 97 = 0").fetchall())
        find = "SELECT rank FROM words ORDER BY vec <#> %s LIMIT 10"
        assert "words_hnsw" in nb.plan(connection, find, vectors[0])
        hits = [rank in [r for (r,) in connection.execute(find, [vec])] for rank, vec in vectors.items()]
        assert np.mean(hits) > 0.9  # the index is whole, too
    assert not psutil.pid_exists(again.pid)


@pytest.mark.slow
def test_a_cell_that_fails_leaves_no_server(tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    note = tmp_path / "pid"
    source = (
        "from pathlib import Path\nfrom cookbook import database, paths\n"
        "server = database.start(paths.generated('16', 'test-failing'))\n"
        f"Path({str(note)!r}).write_text(str(server.pid))\nraise ValueError('a cell fails')"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    with pytest.raises(CellExecutionError, match="a cell fails"):
        execute(notebook)
    pid, end = int(note.read_text()), time.monotonic() + 60
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
    assert pid != os.getpid()
