"""The dance tunes of chapter 15: read, split without twins, played; sound files good and broken."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cookbook import music

SCALE = "X:1\nT:A scale\nR:reel\nM:4/4\nL:1/8\nK:C\nCDEF GABc|cBAG FEDC|]\n"


@pytest.fixture(scope="module")
def dances():
    return music.tunes()


@pytest.fixture(scope="module")
def scale():
    (tune,) = music.from_abc(SCALE, "made")
    return music.notes(tune)


def test_the_books_hold_three_dances(dances):
    assert {dance: sum(tune.dance == dance for tune in dances) for dance in music.DANCES} == {
        "hornpipe": 462,
        "jig": 477,
        "reel": 715,
    }
    assert len({tune.name for tune in dances}) == len(dances)


@pytest.mark.parametrize(
    ("headers", "dance"),
    [
        ("R: Double Jig\nM:6/8", "jig"),
        ("R:jig\nM:9/8", None),
        ("R:REEL\nM:C|", "reel"),
        ("R:waltz\nM:3/4", None),
        ("M:C", None),
    ],
)
def test_only_named_dances_are_read(headers, dance):
    found = music.from_abc(f"a comment\nX: 7\n{headers}\nK:D\nABc|\n\nX:8\nT:none\nK:D\nabc|\n", "book")
    assert [(tune.name, tune.dance) for tune in found] == ([("book-7", dance)] if dance else [])


@given(st.text(max_size=200))
def test_no_text_does_more_than_hold_no_tunes(text):
    for tune in music.from_abc(text, "text"):
        assert tune.dance in music.DANCES


def test_notes_have_time_pitch_and_beat(scale):
    assert scale.shape == (16, 4)
    np.testing.assert_allclose(scale[:, 0], np.arange(16) / 2)
    np.testing.assert_allclose(scale[:, 1], 0.5)
    assert list(scale[:8, 2]) == [60, 62, 64, 65, 67, 69, 71, 72]
    assert list(scale[[0, 8], 3]) == [1, 1] and scale[1:8, 3].max() < 1


def test_a_tune_without_notes_is_named():
    (tune,) = music.from_abc("X:3\nT:Silence\nR:reel\nM:C\nL:1/8\nK:C\nz8|\n", "made")
    with pytest.raises(music.SoundError, match=r"made-3, Silence, has no notes"):
        music.notes(tune)


def test_twins_are_one_family_and_the_split_keeps_families_together(dances):
    names = [tune.title for tune in dances]
    family = music.families(dances)
    assert family[names.index("The Boyne Hunt")] == family[names.index("THE BOYNE HUNT -- REEL")]
    train, held_out = music.split(dances, 40)
    assert not (train & held_out).any()
    assert not set(family[train]) & set(family[held_out])
    assert len(set(family[held_out])) == held_out.sum(), "one of a family"
    for dance in music.DANCES:
        assert sum(tune.dance == dance for tune, out in zip(dances, held_out, strict=True) if out) == 40
    again, other = music.split(dances, 40), music.split(dances, 40, seed=16)
    assert (again[1] == held_out).all() and (other[1] != held_out).any()


def test_transposed_tunes_are_one_family():
    higher = SCALE.replace("CDEF GABc|cBAG FEDC", "DEFG ABcd|dcBA GFED")
    both = music.from_abc(SCALE + "\n" + higher.replace("X:1", "X:2"), "made")
    other = music.from_abc(SCALE.replace("CDEF GABc|cBAG FEDC", "CECE GCGC|AFAF EDED"), "other")
    assert list(music.families(both + other)) == [0, 0, 1]


def test_too_few_tunes_to_hold_out():
    with pytest.raises(ValueError, match="too few tunes called hornpipe to hold 1 out"):
        music.split(music.from_abc(SCALE, "made"), 1)


def test_pace_is_notes_a_second_whatever_the_metre(scale):
    for notes in (scale, scale * [2, 2, 1, 1]):  # eighths, and quarters
        onsets = note_ons(music.perform(notes, program=40, pace=8, seconds=10))
        assert len(onsets) == 80


def note_ons(midi: bytes) -> list[int]:
    """The pitches of the note-on events of a MIDI file, by music21's own reader."""
    from music21.midi import MidiFile

    file = MidiFile()
    file.readstr(midi)
    return [event.pitch for event in file.tracks[-1].events if event.isNoteOn() and event.velocity]


def test_a_part_begins_where_it_is_asked_to_and_goes_round(scale):
    pitches = note_ons(music.perform(scale, program=0, pace=4, start=0.75, seconds=2, transpose=12))
    assert pitches == [77, 76, 74, 72, 72, 74, 76, 77]


@pytest.mark.parametrize("wrong", [{"pace": 0}, {"pace": 5, "seconds": -1}])
def test_refuses_impossible_paces(scale, wrong):
    with pytest.raises(ValueError, match="above 0"):
        music.perform(scale, program=40, **wrong)


def test_what_is_played_sounds_at_the_right_pitch():
    note = np.array([[0.0, 4.0, 69, 1.0]])  # a' for four seconds
    sound = music.render(music.perform(note, program=73, pace=0.25, seconds=3), 3)
    assert sound.shape == (3 * music.RATE,) and sound.dtype == np.float32
    assert np.abs(sound).max() == pytest.approx(0.7, abs=0.01)
    spectrum = np.abs(np.fft.rfft(sound[music.RATE : 2 * music.RATE]))  # a second: bins are hertz
    assert spectrum[:600].argmax() == pytest.approx(440, abs=6)


@pytest.mark.parametrize("ending", ["wav", "au", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_every_format_comes_back_as_the_same_sound(tmp_path, ending, rate):
    t = np.arange(2 * rate) / rate
    stereo = 0.5 * np.sin(2 * np.pi * 440 * t)[:, None] * [1, 1]
    soundfile.write(tmp_path / f"a.{ending}", stereo, rate)
    sound = music.read(tmp_path / f"a.{ending}")
    assert len(sound) == pytest.approx(2 * music.RATE, abs=music.RATE // 5)  # MP3 fills up its blocks
    middle = np.abs(np.fft.rfft(sound[8000:24000]))
    assert middle.argmax() == pytest.approx(440, abs=1)
    assert len(music.read(tmp_path / f"a.{ending}", start=0.5, seconds=1)) == pytest.approx(music.RATE, abs=1)


def test_saved_files_are_whole_and_alone(tmp_path):
    music.save(np.zeros(1600, "float32"), tmp_path / "a.ogg")
    assert [file.name for file in tmp_path.iterdir()] == ["a.ogg"]


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF\x24\x00\x00\x00WAVEfmt ", b"ID3\x03" + bytes(400)])
def test_broken_files_are_named(tmp_path, content):
    (tmp_path / "broken.mp3").write_bytes(content)
    with pytest.raises(music.SoundError, match=r"^broken\.mp3 ") as caught:
        music.read(tmp_path / "broken.mp3")
    assert str(tmp_path) not in str(caught.value)


def test_missing_empty_and_impossible_sounds_are_named(tmp_path):
    with pytest.raises(music.SoundError, match=r"^lost\.wav is no sound file"):
        music.read(tmp_path / "lost.wav")
    soundfile.write(tmp_path / "short.wav", np.zeros(100), music.RATE)
    with pytest.raises(music.SoundError, match="no sound from second 5 on"):
        music.read(tmp_path / "short.wav", start=5)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, "float32"), music.RATE, subtype="FLOAT")
    with pytest.raises(music.SoundError, match="no numbers"):
        music.read(tmp_path / "nan.wav")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_no_content_does_more_than_raise(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "fuzzed.wav"
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros(200), music.RATE, format="WAV")
    file.write_bytes(sound.getvalue()[:44] + content)
    try:
        assert music.read(file).ndim == 1
    except music.SoundError as error:
        assert "fuzzed.wav" in str(error)


@settings(max_examples=20, deadline=None)
@given(arrays("float32", st.integers(1, 3000), elements=st.floats(-1, 1, width=32)))
def test_mel_frames_are_decibels_below_the_loudest(sound):
    frames = music.mel(sound)
    assert frames.shape == (1 + max(len(sound), music.WINDOW) // music.HOP, music.BANDS)
    assert np.isfinite(frames).all() and frames.max() <= 1e-4 and frames.min() >= -80 - 1e-4


def test_mel_refuses_what_is_no_sound():
    for wrong in (np.zeros((2, 100), "float32"), np.zeros(0, "float32")):
        with pytest.raises(ValueError, match="row of samples"):
            music.mel(wrong)
