"""cookbook.data: sample, mirror, download; and the sentence for each thing that can go wrong."""

import hashlib
import json
import shutil

import local_server
import pytest

from cookbook import data, paths

CONTENT = bytes(range(256)) * 8192  # 2 MB
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server(local_server.Handler):
    """Serves CONTENT with ranges; cuts, breaks or changes it on request. `seen` keeps the Range headers."""

    seen: list[str | None]

    def do_GET(self):
        self.seen.append(self.headers["Range"])
        if self.path == "/missing":
            return self.send_error(404)
        start = int(self.headers["Range"][6:-1]) if self.headers["Range"] and self.path != "/no-ranges" else 0
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        body = CONTENT[::-1] if self.path == "/changed" else CONTENT[start:]
        self.wfile.write(body[:1_000_000] if self.path == "/cut" and not start else body)


@pytest.fixture
def home():
    Server.seen = []
    with local_server.serving(Server) as address:
        yield address.rstrip("/")


@pytest.fixture
def entry(monkeypatch, tmp_path, home):
    """A data set with a shipped sample and a full version at `home`; data/ and generated/ are empty copies."""
    sample = tmp_path / "data" / "99" / "bytes.bin"
    sample.parent.mkdir(parents=True)
    sample.write_bytes(CONTENT)
    described = {
        "sample": {"file": "99/bytes.bin", "hash": SHA256},
        "full": {"url": f"{home}/good", "file": "all.bin", "hash": SHA256},
    }
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(data, "manifest", lambda: {"bytes": described})
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path / "generated"))
    monkeypatch.delenv("COOKBOOK_MIRROR", raising=False)
    return described


def test_sample_comes_first(entry):
    assert data.path("bytes").read_bytes() == CONTENT
    assert Server.seen == []


@pytest.mark.parametrize("change", ["none", "a byte", "a name", "one more"])
def test_a_folder_is_a_sample_too(entry, change):
    folder = paths.DATA / "99" / "songs"
    folder.mkdir()
    for name in ("a.abc", "b.abc"):
        (folder / name).write_bytes(name.encode())
    entry["sample"] = {"file": "99/songs", "hash": data.folder_hash(folder)}
    if change == "a byte":
        (folder / "b.abc").write_bytes(b"b.abd")
    elif change == "a name":
        (folder / "b.abc").rename(folder / "c.abc")
    elif change == "one more":
        (folder / "c.abc").touch()
    if change == "none":
        assert data.path("bytes") == folder
    else:
        with pytest.raises(data.DataError, match=r"songs is not the file .* Restore it"):
            data.path("bytes")


@pytest.mark.parametrize("position", [0, len(CONTENT) // 2, len(CONTENT) - 1])
def test_flipped_byte_is_refused(entry, position):
    file = paths.DATA / "99" / "bytes.bin"
    broken = bytearray(CONTENT)
    broken[position] ^= 1
    file.write_bytes(broken)
    with pytest.raises(data.DataError, match=r"bytes\.bin is not the file .* Restore it"):
        data.path("bytes")


def test_cut_and_missing_samples_are_refused(entry):
    file = paths.DATA / "99" / "bytes.bin"
    file.write_bytes(CONTENT[:1000])
    with pytest.raises(data.DataError, match="cut or changed"):
        data.path("bytes")
    file.unlink()
    with pytest.raises(data.DataError, match=r"bytes\.bin\. Restore it with: git checkout"):
        data.path("bytes")


def test_unknown_name_lists_the_known():
    with pytest.raises(data.DataError, match=r"No data set is called 'moves'.*movies"):
        data.path("moves")


def test_no_full_version_says_so():
    with pytest.raises(data.DataError, match="no larger version"):
        data.path("movies", full=True)


def test_package_not_installed_says_what_to_install(entry):
    entry["sample"] = {"package": "no_such_package", "file": "a.bin", "hash": SHA256}
    with pytest.raises(data.DataError, match=r"pip install -r requirements\.txt"):
        data.path("bytes")


def test_mirror_is_used_before_the_network(entry, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "all.bin").write_bytes(CONTENT)
    monkeypatch.setenv("COOKBOOK_MIRROR", str(tmp_path / "mirror"))
    assert data.path("bytes", full=True).parent.name == "mirror"
    assert Server.seen == []
    (tmp_path / "mirror" / "all.bin").write_bytes(b"other")
    with pytest.raises(data.DataError, match=r"all\.bin is not the file"):
        data.path("bytes", full=True)


def test_download_once(entry):
    first = data.path("bytes", full=True)
    assert first.read_bytes() == CONTENT
    assert data.path("bytes", full=True) == first
    assert Server.seen == [None]
    assert not first.with_name("all.bin.part").exists()


def test_cut_download_resumes(home, tmp_path):
    target = tmp_path / "all.bin"
    with pytest.raises(data.DataError, match=r"failed .* 9\d\d,\d\d\d bytes are kept\. Check the connection"):
        data.download(f"{home}/cut", target, SHA256)
    assert not target.exists()
    kept = target.with_name("all.bin.part").stat().st_size
    assert data.download(f"{home}/cut", target, SHA256).read_bytes() == CONTENT
    assert Server.seen == [None, f"bytes={kept}-"]


def test_server_without_ranges_starts_again(home, tmp_path):
    (tmp_path / "all.bin.part").write_bytes(b"x" * 1000)
    assert data.download(f"{home}/no-ranges", tmp_path / "all.bin", SHA256).read_bytes() == CONTENT


def test_whole_part_is_not_fetched_again(home, tmp_path):
    (tmp_path / "all.bin.part").write_bytes(CONTENT)
    assert data.download(f"{home}/good", tmp_path / "all.bin", SHA256).read_bytes() == CONTENT


def test_changed_download_leaves_nothing(home, tmp_path):
    with pytest.raises(data.DataError, match="arrived changed"):
        data.download(f"{home}/changed", tmp_path / "all.bin", SHA256)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["/missing", None])
def test_missing_home_says_what_to_do(home, tmp_path, url):
    target = tmp_path / "all.bin"
    with pytest.raises(data.DataError, match="COOKBOOK_MIRROR"):
        data.download(f"{home}{url}" if url else "http://127.0.0.1:9/nobody", target, SHA256)
    assert list(tmp_path.iterdir()) == []


def test_every_entry_of_the_manifest_is_whole():
    """Each data set has its facts; each shipped file is there, is small, and is its manifest's."""
    shipped = set()
    for name, entry in data.manifest().items():
        assert {"title", "home", "licence", "citation"} <= set(entry), name
        assert "sample" in entry or {"url", "file", "bytes", "hash"} <= set(entry["full"])
        if "sample" in entry:
            file = data.path(name)
            inside = [each for each in file.iterdir() if each.is_file()] if file.is_dir() else [file]
            assert sum(each.stat().st_size for each in inside) == entry["sample"]["bytes"], name
            assert entry["sample"]["made_by"], name
            if "package" not in entry["sample"]:
                assert file.stat().st_size < 10_000_000
                shipped.add(file)
    inside = {file for file in paths.DATA.glob("[0-9]*/**/*") if file.is_file()}
    assert inside == shipped, "every file of data/ is in the manifest"
    assert sum(file.stat().st_size for file in inside) < 60_000_000


SHIPPED = [name for name, entry in data.manifest().items() if "package" not in entry.get("sample", {"package": None})]


@pytest.mark.parametrize("name", SHIPPED)
def test_flipping_a_byte_of_a_shipped_sample_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATA", shutil.copytree(paths.DATA, tmp_path / "data"))
    file = paths.DATA / data.describe(name)["sample"]["file"]
    broken = bytearray(file.read_bytes())
    broken[len(broken) // 2] ^= 1
    file.write_bytes(broken)
    with pytest.raises(data.DataError, match=file.name):
        data.path(name)


def test_manifest_is_pretty_json():
    text = (paths.DATA / "manifest.json").read_text("utf8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
