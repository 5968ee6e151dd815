"""A model's folder as one zip file, out and in.

Out: made while it is sent, so that memory stays flat however large the model is. In: an
archive that is not exactly a model's files within the size limit is refused before its contents are
unpacked, piece by piece.
"""

import errno
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lstmcore.model_record import FILES
from worker.errors import InvalidInput

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1  # bit of an entry's flags
END = struct.Struct("<4s4H2LH")  # the record at the very end of a zip file
END_MAGIC = b"PK\x05\x06"
ZIP64_LOCATOR = (b"PK\x06\x07", 20)  # stands right before END when there is one
# Python reads the whole directory at once; one that names four files needs some hundred bytes.
LARGEST_DIRECTORY_BYTES = 16 * 1024
CHUNK_BYTES = 256 * 1024
# Weights hardly compress; the fastest level keeps a download about as fast as the disk.
LEVEL = 1
# A zip file cannot say a time before this one.
EARLIEST = datetime(1980, 1, 1, tzinfo=UTC).timestamp()


def pack(files: Iterable[tuple[str, Iterable[bytes]]], written_at: float) -> Iterator[bytes]:
    """A zip file of these (name, contents), in pieces as they come.

    The same files and time give the same bytes. `written_at`: seconds since the Unix epoch.
    """
    sink = _Sink()
    moment = datetime.fromtimestamp(max(written_at, EARLIEST), UTC).timetuple()[:6]
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for name, chunks in files:
            entry = zipfile.ZipInfo(name, moment)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            # Its size is not known beforehand, so it must be free to pass 2 GiB.
            with archive.open(entry, "w", force_zip64=True) as target:
                for chunk in chunks:
                    # In small pieces: a slow client has so long for each of them.
                    for begin in range(0, len(chunk), CHUNK_BYTES):
                        target.write(chunk[begin : begin + CHUNK_BYTES])
                        yield sink.take()
    yield sink.take()


def unpack(stream: IO[bytes], folder: Path, largest_bytes: int) -> None:
    """Write the files of a model's zip file into a folder. Raises InvalidInput for anything else.

    Memory stays flat; the names are those of a model's files, whatever the archive says.
    """
    _check_end(stream)
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            _check_entries(entries, largest_bytes)
            _extract(archive, entries, folder, largest_bytes)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        OverflowError,
        ValueError,
        # An entry that begins before the file does; our own disk says ENOSPC, not EINVAL.
        OSError,
    ) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise _refused("the zip file is damaged") from error


def _check_end(stream: IO[bytes]) -> None:
    """Look at the end of the archive before Python reads its directory into memory."""
    size = stream.seek(0, io.SEEK_END)
    if size < END.size:
        raise _refused("this is not a zip file")
    stream.seek(-END.size, io.SEEK_END)
    magic, *_, directory_bytes, _offset, comment_bytes = END.unpack(stream.read(END.size))
    if magic != END_MAGIC or comment_bytes:
        raise _refused("this is not a zip file as models are downloaded in (without a comment)")
    locator_magic, locator_bytes = ZIP64_LOCATOR
    before = min(size, END.size + locator_bytes)
    stream.seek(-before, io.SEEK_END)
    if directory_bytes > LARGEST_DIRECTORY_BYTES or stream.read(4) == locator_magic:
        raise _refused("the zip file holds more than a model's files")
    stream.seek(0)


def _check_entries(entries: list[zipfile.ZipInfo], largest_bytes: int) -> None:
    if sorted(entry.filename for entry in entries) != sorted(FILES):
        raise _refused(f"put exactly these files into the zip, in no folder: {', '.join(FILES)}")
    for entry in entries:
        if entry.flag_bits & ENCRYPTED or entry.compress_type not in METHODS:
            raise _refused(f"{entry.filename} is encrypted or compressed in an unusual way")
    if sum(entry.file_size for entry in entries) > largest_bytes:
        raise _refused(f"unpacked, it is larger than {largest_bytes:,} bytes")


def _extract(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path, largest_bytes: int
) -> None:
    left = largest_bytes
    for entry in entries:
        with archive.open(entry) as source, (folder / entry.filename).open("xb") as target:
            # What an entry says about its size may be a lie.
            while chunk := source.read(min(CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise _refused(f"unpacked, it is larger than {largest_bytes:,} bytes")
                target.write(chunk)


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"This cannot be imported: {reason}.", [{"loc": ["file"], "msg": reason}])


class _Sink(io.RawIOBase):
    """Where `zipfile` writes and from where `pack` takes: no position, no way back."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # any buffer; typeshed's name for it is newer than 3.11
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        """All that was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
