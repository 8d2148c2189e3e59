"""Synthetic speech, music and noise: pure functions of (seed, index), for runs without data.

Most signals of `clean` resemble speech: pulses of a gliding pitch shaped by the formants of vowels,
with hisses between them and pauses between phrases, each index another speaker. The others are
melodies. `ambience` is colored noise of varying loudness, hum,
babble of several speakers, clicks, and mixtures of these. It demonstrates that training works, and
does not replace real audio.

References:
  G. E. Peterson, H. L. Barney, "Control methods used in a study of the vowels", J. Acoust. Soc. Am.
  24(2), 1952 (the formants, table II, men).
  J. A. Moorer, "The synthesis of complex audio spectra by means of discrete summation formulas",
  J. Audio Eng. Soc. 24(9), 1976 (the pulses).
"""

import numpy as np

VOWELS = np.array(
    [
        (270, 2290, 3010),
        (390, 1990, 2550),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
    ],
    np.float32,
)
"""The first three formants of ten vowels, in Hz."""

# Bandwidths of the resonances, in Hz.
_BANDWIDTHS = np.array([80.0, 110.0, 160.0], np.float32)
# Seconds of a frame of the vocal tract.
_FRAME = 0.032
_SPEECH_SHARE = 5
_KINDS = 8


def clean(seed: int, index: int, *, sample_rate: int, length: int) -> np.ndarray:
    """A clean signal with pauses: of each eight, five are speech and three are melodies.

    Args:
      seed: another seed gives another set.
      index: the number in the set, from 0; each is another speaker.
      sample_rate: samples per second, at least 4,000.
      length: the number of samples.

    Returns:
      (length, 1) float32, its peak between 0.3 and 0.9; silent where it pauses.
    """
    rng = np.random.default_rng([seed, 0, index])
    make = speak if index % _KINDS < _SPEECH_SHARE else _melody
    return _to_peak(make(rng, sample_rate, length), rng.uniform(0.3, 0.9))


def ambience(seed: int, index: int, *, sample_rate: int, length: int) -> np.ndarray:
    """Noise without pauses: in turns colored noise, hum, babble, clicks, and all of them mixed.

    Args:
      seed: another seed gives another set; its speakers differ from those of `clean`.
      index: the number in the set, from 0.
      sample_rate: samples per second, at least 4,000.
      length: the number of samples.

    Returns:
      (length, 1) float32, its peak between 0.3 and 0.9.
    """
    rng = np.random.default_rng([seed, 1, index])
    makers = (_colored, _hum, _babble, _clicks)
    kind = index % (len(makers) + 1)
    if kind < len(makers):
        x = makers[kind](rng, sample_rate, length)
        if makers[kind] is not _colored:
            # Real rooms have background noise behind hum or clicks.
            x = _unit(x) + _unit(_colored(rng, sample_rate, length)) * rng.uniform(0.02, 0.2)
    else:
        x = sum(_unit(make(rng, sample_rate, length)) * rng.uniform(0.2, 1) for make in makers)
    return _to_peak(x, rng.uniform(0.3, 0.9))


def pulses(frequency: np.ndarray, sample_rate: int) -> np.ndarray:
    """All harmonics of a pitch up to 45 % of the sample rate, each of amplitude 1, in closed form.

    Args:
      frequency: (T,) the pitch in Hz at each sample.
      sample_rate: samples per second.

    Returns:
      (T,) float32: the sum over k of cos(k phase), the phase being the sum of the pitch so far.
    """
    count = max(int(0.45 * sample_rate / frequency.max()), 1)
    # The phase in turns is summed in double and wrapped around 0, the position of the pulses, where
    # float32 suffices and its sines are several times faster.
    turns = np.cumsum(frequency, dtype=np.float64) / sample_rate
    half = ((turns - np.rint(turns)) * np.pi).astype(np.float32)
    half = np.where(np.abs(half) < 1e-4, np.float32(1e-4), half)
    # cos p + ... + cos np = cos((n + 1) p / 2) sin(n p / 2) / sin(p / 2)
    return np.cos((count + 1) * half) * np.sin(count * half) / np.sin(half)


def resonances(formants: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Amplitude response of a vocal tract: resonances at its formants, and 1 at 0 Hz.

    Args:
      formants: (..., 3) in Hz.
      frequency: (F,) in Hz.

    Returns:
      (..., F) amplitudes, at least 0.
    """
    squared = np.square(frequency)
    center = np.square(formants)[..., None]
    damping = squared * np.square(_BANDWIDTHS)[:, None]
    passed = center / np.sqrt(np.square(center - squared) + damping)
    return np.prod(passed, axis=-2)


def speak(rng: np.random.Generator, sample_rate: int, length: int) -> np.ndarray:
    """Syllables of one speaker in phrases, (length,) float32; silent between the phrases."""
    pitch = rng.uniform(85, 180) if rng.random() < 0.5 else rng.uniform(150, 260)
    tract = rng.uniform(0.95, 1.1) * (1.0 if pitch < 165 else 1.12)
    # Frames of the plan are `hop` samples apart; the filters change at every second.
    hop = int(_FRAME / 4 * sample_rate)
    frames = length // hop + 6
    plan = _Plan(frames)
    at = int(rng.uniform(0.05, 0.4) / _FRAME * 4)
    while at < frames:
        syllables = rng.integers(3, 8)
        declination = rng.uniform(0.75, 0.95)
        for number in range(syllables):
            fall = 1.1 * declination ** (number / syllables * 2)
            at = plan.syllable(rng, at, pitch * fall)
        at += int(rng.uniform(0.2, 0.7) / _FRAME * 4)

    places = np.arange(length, dtype=np.float32) / hop
    frequency = np.interp(places, np.arange(frames), plan.pitch)
    # A voice trembles a little.
    trembling = rng.uniform(4, 6) / sample_rate * 2 * np.pi
    frequency *= 1 + 0.01 * np.sin(trembling * np.arange(length))
    voice = pulses(frequency, sample_rate)
    breath = rng.standard_normal(length, np.float32)

    size = 4 * hop
    bins = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float32)
    # Vocal cords fall by 12 dB per octave, lips add 6, and the resonances above the third, which
    # are omitted, raise the treble.
    tilt = np.square(1 + np.square(bins / 2000)) / (1 + bins / 400)
    voiced = resonances(plan.formants[::2] * tract, bins) * (tilt * plan.voiced[::2, None])
    center, width = plan.hiss[:, ::2, None]
    hissing = np.exp(-np.square((bins - center) / width)) * plan.noisy[::2, None]
    x = _shaped(((voice, voiced), (breath, 3 * hissing)), 2 * hop, length)
    gate = np.interp(places, np.arange(frames), (plan.voiced + plan.noisy > 0).astype(np.float32))
    return x * gate.astype(np.float32)


class _Plan:
    """The plan of an utterance, frame by frame.

    Attributes:
      pitch: (frames,) in Hz.
      formants: (frames, 3) in Hz.
      voiced: (frames,) amplitude of the voice.
      noisy: (frames,) amplitude of the hiss.
      hiss: center and width of the hiss, (2, frames) in Hz.
    """

    def __init__(self, frames: int):
        self.pitch = np.full(frames, 120.0, np.float32)
        self.formants = np.tile(VOWELS[8], (frames, 1))
        self.voiced = np.zeros(frames, np.float32)
        self.noisy = np.zeros(frames, np.float32)
        self.hiss = np.full((2, frames), 3000.0, np.float32)

    def syllable(self, rng: np.random.Generator, at: int, pitch: float) -> int:
        """Plan one syllable from frame `at` on; return its end."""
        if rng.random() < 0.5:
            count = int(rng.integers(5, 14))
            here = slice(at, at + count)
            self.noisy[here] = _bell(count, self.noisy[here].size) * rng.uniform(0.03, 0.15)
            self.hiss[:, here] = [[rng.uniform(2500, 6500)], [rng.uniform(800, 2000)]]
            at += count - 3
        count = int(rng.integers(12, 30))
        here = slice(at, at + count)
        size = self.voiced[here].size
        way = np.linspace(0, 1, count, dtype=np.float32)[:size]
        first, second = VOWELS[rng.integers(len(VOWELS), size=2)]
        self.formants[here] = first + (second - first) * way[:, None]
        self.pitch[here] = pitch * (1 + rng.uniform(-0.15, 0.15) * (way - 0.5))
        self.voiced[here] = _bell(count, size) * rng.uniform(0.5, 1.0)
        return at + count


def _bell(count: int, size: int) -> np.ndarray:
    """A rise, a plateau and a fall over `count` frames, the first `size` of them."""
    ramp = np.linspace(0, np.pi, count, dtype=np.float32)
    return np.minimum(1, 1.5 * np.sin(ramp))[:size]


def _shaped(parts, step: int, length: int) -> np.ndarray:
    """The sum of signals (length,), each filtered frame by frame by amplitudes (frames, bins).

    A frame has two steps and begins one step early, so that the squared windows sum to 1.
    """
    window = np.sqrt(np.hanning(2 * step + 1)[:-1]).astype(np.float32)
    frames = length // step + 2
    spectrum = np.zeros((frames, step + 1), np.complex64)
    for x, amplitudes in parts:
        padded = np.zeros((frames + 1, step), np.float32)
        padded.reshape(-1)[step : step + length] = x
        pieces = np.concatenate([padded[:-1], padded[1:]], axis=1)
        spectrum += np.fft.rfft(pieces * window) * amplitudes[:frames]
    pieces = np.fft.irfft(spectrum, 2 * step).astype(np.float32, copy=False) * window
    out = np.zeros((frames + 1, step), np.float32)
    out[:-1] += pieces[:, :step]
    out[1:] += pieces[:, step:]
    return out.reshape(-1)[step : step + length]


def _melody(rng: np.random.Generator, sample_rate: int, length: int) -> np.ndarray:
    """Notes of a few harmonics, with occasional rests."""
    x = np.zeros(length, np.float32)
    at = int(rng.uniform(0, 0.3) * sample_rate)
    while at < length:
        count = int(rng.uniform(0.25, 0.8) * sample_rate)
        pitch = 110 * 2 ** (rng.integers(0, 37) / 12)
        t = np.arange(min(count, length - at), dtype=np.float32) / sample_rate
        numbers = np.arange(1, 6)[: max(int(sample_rate / 2.2 / pitch), 1)]
        strength = rng.uniform(0.3, 1, len(numbers)) / numbers
        note = strength @ np.sin(2 * np.pi * pitch * numbers[:, None] * t)
        edges = np.minimum(1, np.minimum(t, count / sample_rate - t) / 0.01)
        x[at : at + len(t)] = note * edges
        at += count
        if rng.random() < 0.3:
            at += int(rng.uniform(0.2, 0.5) * sample_rate)
    return x


def _colored(rng: np.random.Generator, sample_rate: int, length: int) -> np.ndarray:
    """Noise whose power falls with frequency by up to the square, of varying loudness."""
    size = 2 ** int(np.ceil(np.log2(length)))
    spectrum = np.fft.rfft(rng.standard_normal(size, np.float32))
    bins = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 20).astype(np.float32)
    x = np.fft.irfft(spectrum * bins ** -rng.uniform(0, 1), size)[:length]
    slow = np.arange(0, length + sample_rate, sample_rate // 2)
    loudness = 10 ** (rng.uniform(-8, 0, len(slow)) / 20)
    return _unit(x) * np.interp(np.arange(length), slow, loudness)


def _hum(rng: np.random.Generator, sample_rate: int, length: int) -> np.ndarray:
    """Mains hum of 50 or 60 Hz with harmonics."""
    mains = rng.choice([50.0, 60.0]) * rng.uniform(0.998, 1.002)
    turn = 2 * np.pi * mains / sample_rate * np.arange(length)
    numbers = np.arange(1, 13)
    strength = rng.uniform(0, 1, 12) / numbers
    phase = rng.uniform(0, 2 * np.pi, 12)
    return strength @ np.sin(numbers[:, None] * turn + phase[:, None])


def _babble(rng: np.random.Generator, sample_rate: int, length: int) -> np.ndarray:
    """Four to six simultaneous speakers at different levels."""
    return sum(
        _unit(speak(rng, sample_rate, length)) * rng.uniform(0.4, 1)
        for _ in range(rng.integers(4, 7))
    )


def _clicks(rng: np.random.Generator, sample_rate: int, length: int) -> np.ndarray:
    """A few clicks per second, each ringing for milliseconds."""
    x = np.zeros(length, np.float32)
    count = max(int(rng.uniform(2, 10) * length / sample_rate), 1)
    t = np.arange(int(0.03 * sample_rate), dtype=np.float32) / sample_rate
    for at in rng.integers(0, length, count):
        ring = np.exp(-t * rng.uniform(150, 600)) * np.cos(2 * np.pi * rng.uniform(500, 3000) * t)
        x[at : at + len(t)] += (ring * rng.uniform(0.2, 1)).astype(np.float32)[: length - at]
    return x


def _unit(x: np.ndarray) -> np.ndarray:
    """Scaled to a power of 1; silence is unchanged."""
    return x / max(float(np.sqrt(np.mean(np.square(x)))), 1e-9)


def _to_peak(x: np.ndarray, peak: float) -> np.ndarray:
    """Scaled to a peak, as one channel; silence is unchanged."""
    return (x * (peak / max(float(np.abs(x).max()), 1e-9))).astype(np.float32)[:, None]
