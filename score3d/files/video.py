"""Films in and out, frame by frame, with sound carried over as it is (PyAV, extra `video`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.files.atomic import atomic_write
from score3d.files.splats import FileFormatError

__all__ = ["VIDEO_ENDINGS", "Film", "FilmWriter", "frames_of", "inspect_film", "writing_film"]

# ending -> codec, pixel format for even sizes and for odd ones
VIDEO_ENDINGS = {
    ".mp4": ("libx264", "yuv420p", "yuv444p"),
    ".webm": ("libvpx-vp9", "yuv420p", "yuv444p"),
    ".gif": ("gif", "rgb8", "rgb8"),
}


@dataclass(frozen=True)
class Film:
    """What a file says of itself. rate: frames per second. sound: whether it has any."""

    path: Path
    width: int
    height: int
    rate: Fraction
    sound: bool


def _av() -> Any:
    if not (importlib.util.find_spec("av") and importlib.util.find_spec("imageio")):
        raise RuntimeError("films need PyAV: pip install 'score3d[video]'")
    import av

    return av


def inspect_film(path: str | Path) -> Film:
    """Size, rate and sound of a film. Raises FileFormatError for what is none, RuntimeError
    without PyAV."""
    av, path = _av(), Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FileFormatError(f"{path}: no pictures in it, so not a film")
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            size = stream.codec_context.width, stream.codec_context.height
            return Film(path, *size, Fraction(rate), bool(container.streams.audio))
    except av.error.FFmpegError as error:
        raise FileFormatError(f"{path}: not a film that can be read ({error})") from error


def frames_of(film: Film) -> Iterator[NDArray[np.float32]]:
    """Its frames [H,W,3] in [0,1], one at a time. Raises FileFormatError where one is damaged."""
    av = _av()
    import imageio.v3 as iio

    try:
        for frame in iio.imiter(film.path, plugin="pyav"):
            yield np.asarray(frame[..., :3], np.float32) / np.float32(255)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise FileFormatError(f"{film.path}: a damaged film ({error})") from error


class FilmWriter:
    """Writes frames; sound is interleaved up to the time of each. See `writing_film`."""

    def __init__(self, container: Any, film: Film, ending: str) -> None:
        self._av = _av()
        codec, even, odd = VIDEO_ENDINGS[ending]
        self._container, self._rate = container, film.rate
        self._stream = container.add_stream(codec, rate=film.rate)
        self._stream.width, self._stream.height = film.width, film.height
        self._stream.pix_fmt = odd if film.width % 2 or film.height % 2 else even
        self._sound: Iterator[Any] = iter(())
        self._source = self._track = self._next = None
        self.frames = 0
        if film.sound and ending != ".gif":
            self._source = self._av.open(str(film.path))
            heard = self._source.streams.audio[0]
            try:
                self._track = container.add_stream_from_template(heard)
            except (self._av.error.FFmpegError, ValueError) as error:
                raise FileFormatError(
                    f"{film.path}: its sound ({heard.codec_context.name}) cannot be carried over "
                    f"into {ending} ({error})"
                ) from error
            self._sound = self._source.demux(heard)

    def write(self, picture: NDArray[np.floating]) -> None:
        """A frame [H,W,3] in [0,1] (clipped)."""
        levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(levels), format="rgb24")
        self._hear(self.frames / self._rate)
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def _hear(self, until: Fraction | float) -> None:
        while True:
            packet = self._next or next(self._sound, None)
            self._next = packet
            if packet is None:
                return
            if packet.dts is not None:
                if packet.pts is not None and packet.pts * packet.time_base > until:
                    return
                packet.stream = self._track
                self._container.mux(packet)
            self._next = None

    def finish(self, whole: bool = True) -> None:
        """The last packets. whole: all of the sound; else as much as there are pictures."""
        self._container.mux(self._stream.encode())
        self._hear(float("inf") if whole else self.frames / self._rate)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


@contextmanager
def writing_film(path: str | Path, film: Film) -> Iterator[FilmWriter]:
    """A writer of frames of `film`'s size at its rate, with its sound; the file appears when all
    of it is there. Raises FileFormatError for sound that the container cannot hold."""
    av, path = _av(), Path(path)
    with (
        atomic_write(path) as temporary,
        av.open(str(temporary), "w", format=path.suffix[1:]) as container,
    ):
        writer = FilmWriter(container, film, path.suffix.lower())
        try:
            yield writer
        finally:
            writer.close()
