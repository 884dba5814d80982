"""Recipe 4.1: the dump on two processes against one, and the parser against the plain ones.

    python -m pytest tests/benchmarks/test_parser.py -s --benchmark-disable-gc

"Plain" parses the wikitext of every page to see whether it is a film. Each pair runs in turns, and
the best of each counts, so that other work on the machine disturbs both alike.
"""

import itertools
import os
import shutil
import time

import mwparserfromhell
import pytest

import book
from cookbook import data
from cookbook.sources import wikipedia

nb = book.definitions("04.1")
ROUNDS = 4


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A multistream dump of about 3,400 pages, 70 MB of XML, and where its blocks begin."""
    folder = tmp_path_factory.mktemp("dump")
    real, ours = ([*nb.page_elements(nb.read_dump(data.path(name)))] for name in ("wikipedia-dump", "film-pages"))
    nb.write_multistream((real + ours * 5) * 12, folder / "dump.bz2", folder / "index.bz2")
    return folder / "dump.bz2", wikipedia.offsets(folder / "index.bz2"), folder / "parts"


def seconds(dump, pool) -> float:
    file, blocks, folder = dump
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    assert nb.parse_dump(file, blocks, folder, pool, bar=lambda done, total: done) == []
    return time.perf_counter() - start


@pytest.mark.parametrize("way", [nb.processes, nb.dask_workers], ids=["processes", "dask"])
def test_two_workers_against_one_process(dump, way, benchmark):
    file, blocks, folder = dump
    pages = sum(wikipedia.block(file, offset).count(b"<page>") for offset in blocks)
    one, two = [], []
    start = time.perf_counter()
    with way() as pool:
        nb.parse_dump(file, blocks[:6], folder.with_name("practice-" + way.__name__), pool)
        ready = time.perf_counter() - start
        for _ in range(ROUNDS):
            one.append(seconds(dump, None))
            joined = nb.join_parts(folder)
            two.append(seconds(dump, pool))
            assert nb.join_parts(folder) == joined
        benchmark.pedantic(seconds, (dump, pool), rounds=1)
    benchmark.extra_info["speed-up"] = min(one) / min(two)
    print(
        f"\n{way.__name__}: {pages} pages; one process {pages / min(one):,.0f} pages/s, two workers "
        f"{pages / min(two):,.0f} pages/s: {min(one) / min(two):.2f} times as fast (aim: 1.8), "
        f"ready after {ready:.1f} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def plain_film(page):
    """Parse every page to see whether it is a film."""
    code = mwparserfromhell.parse(page.text)
    if any(template.name.matches("Infobox film") for template in code.filter_templates()):
        return nb.film(page)
    return None


def test_search_before_parsing_against_parsing_every_page(benchmark):
    articles = [*itertools.islice(nb.dump_pages(data.path("wikipedia-dump")), 60)]
    times = {}
    for name, parse in (("plain", plain_film), ("ours", nb.film)):
        start = time.perf_counter()
        films = [record["title"] for page in articles if (record := parse(page))]
        times[name] = time.perf_counter() - start
        assert films == ["Actrius"]
    benchmark(lambda: [nb.film(page) for page in articles])
    ratio = times["plain"] / times["ours"]
    print(f"\n{len(articles)} articles: plain {times['plain']:.2f} s, ours {times['ours']:.3f} s: {ratio:,.0f} times")
