"""Dance tunes of chapter 15: read, split so that no tune is on both sides, and played; sound read from any file.

The tunes are those of O'Neill's (1903) and Ryan's (1883) books as music21 brings them, in ABC notation. A General MIDI
sound font plays them, in process.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import midirenderer
import numpy as np
import soundfile
from midiutil import MIDIFile
from scipy.signal import resample_poly
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from cookbook import data

RATE = 16_000  # samples a second
HOP = 320  # samples from one frame of mel bands to the next: 50 frames a second
WINDOW = 1024  # samples that a frame looks at
BANDS = 64
RENDERED = 48_000  # the rate at which midirenderer plays
DANCES = ("hornpipe", "jig", "reel")
# What plays, with its program number in General MIDI (from 0).
INSTRUMENTS = {
    "accordion": 21,
    "banjo": 105,
    "clarinet": 71,
    "fiddle": 40,
    "flute": 73,
    "harp": 46,
    "piano": 0,
    "whistle": 78,
}


class SoundError(ValueError):
    """A sound file or a tune that cannot be read. The message says which one, and why."""


@dataclass(frozen=True)
class Tune:
    """name: "oneills1850/X" or the file's name in Ryan's. title, dance: one of DANCES. abc: its text, with headers."""

    name: str
    title: str
    dance: str
    abc: str


def tunes() -> list[Tune]:
    """The reels, jigs in 6/8 and hornpipes of both books that say what they are, in the order of the books."""
    return [
        tune
        for book in ("tunes-oneill", "tunes-ryan")
        for file in sorted(data.path(book).glob("*.abc"))
        for tune in from_abc(file.read_text("utf8", errors="replace"), file.stem)
    ]


def from_abc(text: str, source: str) -> list[Tune]:
    """The dances in a text of ABC notation; tunes that are no DANCES, or do not say what they are, are left out.

    source: what the names begin with.
    """
    found = []
    for abc in re.split(r"(?m)^(?=X:)", text)[1:]:
        headers: dict[str, str] = {}
        for key, value in re.findall(r"(?m)^([A-Z]):[ \t]*(.*?)\s*$", abc):
            headers.setdefault(key, value)
        dance = headers.get("R", "").lower().removeprefix("double ")
        if dance in DANCES and (dance != "jig" or headers.get("M") == "6/8"):
            found.append(Tune(f"{source}-{headers['X']}", headers.get("T", "untitled"), dance, abc.replace("\r", "")))
    return found


def split(dances: Sequence[Tune], held_out: int, *, seed: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Train and held-out sides as two (n,) bool arrays; `held_out` tunes of each dance, all the others train.

    A tune that is in both books, or has several settings, is one tune: tunes with a common quarter of their runs of
    six melodic steps form a family, and a family stays on one side. Members of a family whose first one is held out
    are on neither side.
    """
    family = families(dances)
    order = np.random.default_rng(seed).permutation(len(dances))
    train, chosen = np.ones(len(dances), bool), np.zeros(len(dances), bool)
    for dance in DANCES:
        taken: list[int] = []
        for n in order:
            if len(taken) < held_out and dances[n].dance == dance and train[n]:
                taken.append(n)
                train[family == family[n]] = False
        if len(taken) < held_out:
            raise ValueError(f"There are too few tunes called {dance} to hold {held_out} out.")
        chosen[taken] = True
    return train, chosen


def families(dances: Sequence[Tune], shared: float = 0.25) -> np.ndarray:
    """The family of each tune, (n,) int: tunes that share a part of their runs of steps, in whatever key."""
    steps = CountVectorizer(analyzer=_runs, binary=True).fit_transform([tune.abc for tune in dances]).astype("float32")
    common, size = steps @ steps.T, np.asarray(steps.sum(axis=1)).ravel()
    common = common.tocoo()
    alike = common.data >= shared * np.minimum(size[common.row], size[common.col])
    common.data = alike.astype("float32")
    common.eliminate_zeros()
    return connected_components(common, directed=False)[1]


def _runs(abc: str, length: int = 6) -> list[tuple[int, ...]]:
    """All runs of `length` melodic steps, counted in notes of the scale, octaves left out."""
    body = re.sub(r"(?m)^[A-Za-z]:.*$|%.*$|\"[^\"]*\"|\{[^}]*\}|![^!]*!", "", abc)
    degrees = ["CDEFGAB".index(letter.upper()) for letter in re.findall(r"[A-Ga-g]", body)]
    steps = [(after - before) % 7 for before, after in pairwise(degrees)]
    return [tuple(steps[start : start + length]) for start in range(len(steps) - length + 1)]


def notes(tune: Tune) -> np.ndarray:
    """The notes of a tune, once through: (n, 4) start and length in quarter notes, MIDI pitch, strength of the beat.

    The strength is 1 on the first beat of a bar, and a half, a quarter… on weaker places. Repeats are left out: music21
    takes a `:|` without its `|:` back to the very beginning, and some tunes have a dozen.
    Raises SoundError where music21 cannot read the tune.
    """
    from music21 import converter, exceptions21  # takes a second

    try:
        score = converter.parse(tune.abc, format="abc").flatten().notes
        found = [
            (float(each.offset), float(each.quarterLength), max(p.midi for p in each.pitches), each.beatStrength)
            for each in score
            if each.quarterLength and each.pitches
        ]
    except (exceptions21.Music21Exception, ValueError, IndexError, ArithmeticError) as error:
        raise SoundError(f"{tune.name}, {tune.title}, is no ABC that music21 can read ({error}).") from None
    if not found:
        raise SoundError(f"{tune.name}, {tune.title}, has no notes.")
    return np.array(found)


def perform(
    score: np.ndarray,
    *,
    program: int,
    pace: float,
    start: float = 0,
    seconds: float = 10,
    transpose: int = 0,
    rng: np.random.Generator | None = None,
) -> bytes:
    """A MIDI file of a part of a tune, which begins again where it ends.

    score: as `notes` gives it. program: of General MIDI, from 0. pace: notes a second, on average. start: where in the
    tune, from 0 to 1. transpose: semitones. rng: a player's unevenness, some milliseconds and some loudness.
    """
    if pace <= 0 or seconds <= 0:
        raise ValueError(f"Pace and seconds are above 0, not {pace:g} and {seconds:g}.")
    rng = rng or _Machine()
    onset, length, pitch, strength = score.T
    whole = (onset + length).max()
    beat = len(score) / whole / pace  # seconds a quarter note
    rounds = int(np.ceil(seconds / beat / whole)) + 1
    begin = onset[int(start * len(score)) % len(score)]
    file = MIDIFile(1, deinterleave=False, adjust_origin=False)
    file.addTempo(0, 0, 60)  # a quarter note a second: times below are seconds
    file.addProgramChange(0, 0, 0, program)
    for again in range(rounds):
        for at, long, high, strong in zip(onset, length, pitch, strength, strict=True):
            when = (at - begin + again * whole) * beat
            if 0 <= when < seconds:
                loud = int(np.clip(70 + 40 * strong + rng.normal(0, 5), 1, 127))
                when, long = max(0.0, when + rng.normal(0, 0.008)), 0.9 * long * beat
                file.addNote(0, 0, int(np.clip(high + transpose, 0, 127)), when, long, loud)
    written = io.BytesIO()
    file.writeFile(written)
    return written.getvalue()


class _Machine:
    """A player without unevenness."""

    def normal(self, mean: float, deviation: float) -> float:
        return mean


def render(midi: bytes, seconds: float = 10) -> np.ndarray:
    """What a MIDI file sounds like through the sound font, (RATE * seconds,) float32 from -1 to 1, mono."""
    wave = midirenderer.render_wave_from(_soundfont(), midi)
    stereo, rate = soundfile.read(io.BytesIO(wave), dtype="float32", always_2d=True)
    mono = resample_poly(stereo.mean(axis=1), RATE, rate)[: int(RATE * seconds)]
    mono = np.pad(mono, (0, int(RATE * seconds) - len(mono)))
    return (0.7 * mono / max(np.abs(mono).max(), 1e-4)).astype("float32")


@cache
def _soundfont() -> bytes:
    return data.path("sound-font").read_bytes()


def save(sound: np.ndarray, file: Path) -> None:
    """Write a sound as OGG, MP3, FLAC or WAV, by the file's ending; it is never there half-written."""
    part = file.with_name(f".{file.stem}.part{file.suffix}")
    soundfile.write(part, sound, RATE)
    part.replace(file)


def read(file: Path, *, start: float = 0, seconds: float | None = None) -> np.ndarray:
    """A sound file (WAV, AU, FLAC, OGG, MP3…) as RATE samples a second, mono, (n,) float32 from -1 to 1.

    start, seconds: the part of it that is wanted. Raises SoundError where it cannot be read or holds no sound.
    """
    try:
        with soundfile.SoundFile(file) as opened:
            rate = opened.samplerate
            opened.seek(min(int(start * rate), opened.frames))
            sound = opened.read(-1 if seconds is None else int(seconds * rate), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or type(error).__name__
        raise SoundError(
            f"{Path(file).name} is no sound file that can be read ({reason.strip().rstrip('.')})."
        ) from None
    if not len(sound):
        raise SoundError(f"{Path(file).name} holds no sound from second {start:g} on.")
    if not np.isfinite(sound).all():
        raise SoundError(f"{Path(file).name} holds values that are no numbers.")
    mono = sound.mean(axis=1)
    return mono if rate == RATE else resample_poly(mono, RATE, rate).astype("float32")


def mel(sound: np.ndarray) -> np.ndarray:
    """Mel bands in decibels, 80 below the loudest to 0, as (frames, BANDS) float32; 50 frames a second."""
    import librosa  # takes a second

    if sound.ndim != 1 or not len(sound):
        raise ValueError(f"A sound is a row of samples, not an array of shape {sound.shape}.")
    sound = np.pad(sound, (0, max(0, WINDOW - len(sound))))
    power = librosa.feature.melspectrogram(y=sound, sr=RATE, n_fft=WINDOW, hop_length=HOP, n_mels=BANDS, fmin=60)
    return librosa.power_to_db(power, ref=max(power.max(), 1e-10), top_db=80).T.astype("float32")
