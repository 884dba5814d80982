"""Notebook 15.1: the plan of clips, rendering that goes on, folders of genres, votes, what the networks are given."""

import keras
import numpy as np
import pytest
import soundfile
from backends import OTHERS, run
from hypothesis import given, settings
from hypothesis import strategies as st

from book import definitions
from cookbook import music


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("COOKBOOK_GENERATED", str(tmp_path / "generated"))
    module = definitions("15.1")
    module.dances = music.tunes()
    return module


@pytest.fixture
def short(notebook):
    notebook.SECONDS, notebook.FRAMES = 1, music.RATE // music.HOP
    return notebook


def test_the_plan_is_fixed_and_gives_away_no_dance(notebook):
    clips = notebook.planned(np.arange(len(notebook.dances)))
    assert clips[:30] == notebook.planned(np.arange(10))
    assert len({clip.file for clip in clips}) == len(clips) == 3 * len(notebook.dances)
    paces = {
        dance: np.mean([clip.pace for clip in clips if notebook.dances[clip.tune].dance == dance])
        for dance in notebook.DANCES
    }
    assert max(paces.values()) - min(paces.values()) < 0.15
    assert all(notebook.SLOWEST <= clip.pace <= notebook.FASTEST for clip in clips)
    assert {clip.instrument for clip in clips} == set(notebook.INSTRUMENTS)
    assert all(clip.file.parent.name == notebook.dances[clip.tune].dance for clip in clips)


def test_rendering_goes_on_where_it_stopped(short, monkeypatch):
    clips, made = short.planned([0, 700]), []
    real = music.save

    def stops(sound, file):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(file)
        real(sound, file)

    monkeypatch.setattr(music, "save", stops)
    with pytest.raises(KeyboardInterrupt):
        short.make(clips, processes=1)
    assert [clip.file.is_file() for clip in clips] == [True, True, False, False, False, False]
    before = clips[0].file.stat().st_mtime_ns
    monkeypatch.setattr(music, "save", real)
    short.make(clips, processes=1)
    assert all(clip.file.is_file() for clip in clips)
    assert clips[0].file.stat().st_mtime_ns == before
    monkeypatch.setattr(music, "notes", None)  # nothing is left to do
    short.make(clips, processes=1)
    assert short.heard(clips).shape == (6, 50, 64)


def test_folders_of_genres_are_read(notebook, tmp_path):
    for genre, name in (
        ("blues", "b.wav"),
        ("blues", "a.AU"),
        ("jazz", "c.mp3"),
        ("jazz", "notes.txt"),
        ("jazz", ".d.wav"),
    ):
        (tmp_path / "songs" / genre).mkdir(parents=True, exist_ok=True)
        (tmp_path / "songs" / genre / name).touch()
    found = notebook.labelled(tmp_path / "songs")
    assert [(file.name, genre) for file, genre in found] == [("a.AU", "blues"), ("b.wav", "blues"), ("c.mp3", "jazz")]


def test_folders_that_are_none_are_named(notebook, tmp_path):
    with pytest.raises(ValueError, match="no folder 'lost'"):
        notebook.labelled(tmp_path / "lost")
    (tmp_path / "empty" / "jazz").mkdir(parents=True)
    with pytest.raises(ValueError, match="'empty' has no sound files"):
        notebook.labelled(tmp_path / "empty")


@pytest.mark.parametrize(("seconds", "count"), [(1, 1), (9, 1), (10, 1), (17, 1), (19, 2), (30, 3)])
def test_songs_are_cut_into_pieces(notebook, tmp_path, seconds, count):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, seconds * 22_050)
    soundfile.write(tmp_path / "a.au", noise, 22_050)
    pieces = notebook.pieces(tmp_path / "a.au")
    assert pieces.shape == (count, 500, 64) and pieces.dtype == np.uint8
    assert pieces.max() == 255


def clicks(notebook, step: int, group: int = 3) -> np.ndarray:
    """A piece with a note every `step` frames, of which the first of each group is loud."""
    frames = np.zeros((notebook.FRAMES, music.BANDS), "uint8")
    for n, at in enumerate(range(0, notebook.FRAMES, step)):
        frames[at : at + 3] = 250 if n % group == 0 else 120
    return frames


@pytest.mark.parametrize("step", [6, 9, 12])
@pytest.mark.parametrize("group", [3, 4])
def test_lags_are_counted_in_notes(notebook, step, group):
    """Slow and fast, the same curve: its highest peak lies at the length of a group."""
    frames = clicks(notebook, step, group)
    assert notebook.note_length(frames) == pytest.approx(step, abs=0.3)
    (curve,) = notebook.curves(frames[None])
    assert (curve[15:40].argmax() + 16) / 8 == pytest.approx(group, abs=0.26)
    assert len(notebook.in_notes(frames)) == pytest.approx(4 * notebook.FRAMES / step, rel=0.05) or step == 12


def test_silence_is_no_error(notebook):
    silence = np.zeros((1, notebook.FRAMES, music.BANDS), "uint8")
    assert np.isfinite(notebook.curves(silence)).all()
    assert len(notebook.in_notes(silence[0])) >= notebook.WINDOW


def test_windows_are_the_beginning_the_middle_and_the_end(notebook):
    piece = np.repeat(np.arange(200, dtype="uint8")[:, None], music.BANDS, axis=1)
    found = notebook.windows(piece)
    assert found.shape == (3, notebook.WINDOW, music.BANDS)
    assert list(found[:, 0, 0]) == [0, 20, 40] and found[2, -1, 0] == 199


def test_rises_do_not_depend_on_loudness_but_on_change(notebook):
    still = np.full((notebook.WINDOW, music.BANDS), 77, "uint8")
    assert not notebook.rises(still).any()
    loud = np.zeros((notebook.WINDOW, music.BANDS), "uint8")
    loud[::8, 4:8] = 100
    assert notebook.rises(loud)[8::8, 0].min() > 1 > notebook.rises(loud)[9::8, 0].max()
    np.testing.assert_allclose(notebook.rises(loud), notebook.rises(loud * 2), atol=0.05)
    assert notebook.rises(loud)[16, 2] > 0 and not notebook.rises(loud)[:, 3:17].any(), "only its own group rises"


def test_the_melody_is_the_way_of_the_loudest_band(notebook):
    rising = np.zeros((notebook.WINDOW, music.BANDS), "uint8")
    rising[np.arange(40), np.arange(40)] = 200
    np.testing.assert_allclose(notebook.rises(rising)[3:40, -2], 0.75)


def test_votes_of_clips_make_the_tune(notebook):
    clips = notebook.planned([3, 8])
    votes = np.log(
        [[0.9, 0.05, 0.05], [0.4, 0.5, 0.1], [0.4, 0.5, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6]]
    )
    together, tunes = notebook.by_tune(votes, clips)
    assert list(tunes) == [3, 8]
    assert list(together.argmax(axis=1)) == [0, 2], "who is sure counts for more"
    np.testing.assert_allclose(together[0], votes[:3].mean(axis=0))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_varied_piece_keeps_its_shape(seed):
    module = definitions("15.1")
    rng = np.random.default_rng(seed)
    piece = rng.integers(0, 256, (int(rng.integers(module.WINDOW, 400)), music.BANDS), dtype="uint8")
    before = piece.copy()
    varied = module.varied(piece, rng)
    assert varied.shape == (module.WINDOW, music.BANDS) and varied.dtype == np.uint8
    seen = module.rises(varied)
    assert seen.shape == (module.WINDOW, 19) and np.isfinite(seen).all() and np.abs(seen).max() <= 5
    assert (piece == before).all(), "the piece itself stays"


def test_practice_takes_each_piece_once_an_epoch(notebook):
    pieces = list(np.zeros((130, notebook.WINDOW + 20, music.BANDS), "uint8"))
    practice = notebook.Practice(pieces, np.arange(130))
    first = np.concatenate([practice[n][1] for n in range(len(practice))])
    practice.on_epoch_end()
    second = np.concatenate([practice[n][1] for n in range(len(practice))])
    assert sorted(first) == sorted(second) == list(range(130)) and list(first) != list(second)


@pytest.mark.parametrize("build", ["convolutional", "recurrent", "attentive"])
def test_networks_survive_a_file(notebook, build, tmp_path):
    model = getattr(notebook, build)(3)
    pieces = list(np.random.default_rng(0).integers(0, 256, (2, 200, music.BANDS), dtype="uint8"))
    said = notebook.heard_by(model, pieces)
    assert said.shape == (2, 3)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(
        notebook.heard_by(keras.saving.load_model(tmp_path / "model.keras"), pieces), said, atol=1e-5
    )


def test_the_surest_mistake(notebook):
    votes = np.log([[0.1, 0.2, 0.7], [0.1, 0.0001, 0.9], [0.8, 0.1, 0.1], [0.05, 0.05, 0.95]])
    assert notebook.surest_mistake(votes, np.array([0, 0, 0, 1]), 0, 2) == 1
    with pytest.raises(ValueError, match="No reel was taken for a jig"):
        notebook.surest_mistake(votes, np.array([0, 0, 0, 1]), 2, 1)


def test_a_confusion_matrix_needs_pairs(notebook):
    with pytest.raises(ValueError, match="3 and 2"):
        notebook.confusion(None, np.zeros(3), np.zeros(2), notebook.DANCES, "")


TRAINING = """
import numpy as np
from book import definitions

notebook = definitions("15.1")
notebook.train_pieces = list(np.zeros((8, notebook.WINDOW, 64), "uint8"))
for piece in notebook.train_pieces[4:]:
    piece[:, :32] = 255
labels = np.repeat([0, 1], 4)
for build in (notebook.convolutional, notebook.recurrent, notebook.attentive):
    model = build(2)
    notebook.taught(model, labels, 2)
    assert np.isfinite(notebook.heard_by(model, notebook.train_pieces)).all()
"""


@pytest.mark.slow
@OTHERS
def test_trains_on_another_backend(backend):
    run(TRAINING, backend)
