"""Intake: files that others wrote, read with a bound on the memory that they can take.

What a header claims is held against the file before anything is allocated, nothing is
ever unpickled, and only regular files are opened: a pipe or a device could keep a run
waiting for ever. Imports nothing of the engine.
"""

from __future__ import annotations

import json
import math
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

MAX_TEXT_BYTES: Final = 2**25
"""Largest JSON or YAML file that is read [byte]: as objects it takes twentyfold."""
FREE_BYTES: Final = 2**27
"""Memory that the content of any file may take [byte]."""
MAX_EXPANSION: Final = 64
"""Bytes of memory per byte of file beyond that: columns compress, but not without
end [-]."""
MAX_COLUMNS: Final = 4096
"""Columns of a table; each takes some kilobytes whatever it holds."""
MAX_LINE_BYTES: Final = 2**17
"""Longest first line of a CSV file [byte]."""
MAX_HEADER_BYTES: Final = 10_000
"""Longest header of a NumPy array [byte]."""
WORD_BITS: Final = 64
"""Longest whole number where numbers are counts."""
PART_ROWS: Final = 2**14
"""Rows of a Parquet file that are decoded at a time."""

_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""How half of a character can be written in JSON, perhaps beside its other half."""


class IntakeError(ValueError):
    """A file holds less, or far more, than it claims; the message says what."""


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading.

    Args:
        path: The file.

    Yields:
        The open file.

    Raises:
        OSError: It cannot be opened.
        IntakeError: It is a pipe, a device or a folder.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise IntakeError("it is no regular file")
    with path.open("rb") as file:
        yield file


def read_text(path: Path) -> str:
    """Read a text of at most `MAX_TEXT_BYTES`.

    Args:
        path: A file in UTF-8.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, no regular file or not in UTF-8.
    """
    with open_file(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise IntakeError(f"it is larger than {MAX_TEXT_BYTES} bytes")
    return content.decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Args:
        text: The text.

    Raises:
        ValueError: It is no JSON, nested too deeply, holds half a character, or a
            whole number of over 64 bits.
    """
    try:
        value = json.loads(text, parse_int=_to_word)
        if isinstance(text, bytes) or _HALF.search(text):
            _refuse_halves(value)
    except RecursionError as error:
        raise IntakeError("it is nested too deeply") from error
    return value


def _refuse_halves(value: Any) -> None:
    """Refuse surrogates without their partner, which no file or page can take."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise IntakeError("it holds half a character") from error


def parse_finite_json(text: str | bytes) -> Any:
    """Parse JSON whose numbers all fit into a machine word.

    Args:
        text: The text.

    Raises:
        ValueError: It is no JSON, nested too deeply, or a number is NaN, infinite or a
            whole one of over 64 bits.
    """
    try:
        return json.loads(
            text, parse_constant=_refuse, parse_float=_to_finite, parse_int=_to_word
        )
    except RecursionError as error:
        raise IntakeError("it is nested too deeply") from error


def _refuse(text: str) -> None:
    raise IntakeError(f"it holds the number {text[:20]}")


def _to_finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse(text)
    return value


def _to_word(text: str) -> int:
    value = int(text)
    if value.bit_length() > WORD_BITS:
        _refuse(text)
    return value


def read_json(path: Path) -> Any:
    """Read a JSON file of at most `MAX_TEXT_BYTES`.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON, too large, or nested too deeply.
    """
    return parse_json(read_text(path))


def find_limit(path: Path) -> int:
    """Return how much memory the content of a file may take [byte].

    Args:
        path: The file.

    Raises:
        OSError: There is none.
    """
    return FREE_BYTES + MAX_EXPANSION * path.stat().st_size


def _check_claim(what: str, claimed: int, limit: int) -> None:
    if claimed > limit:
        raise IntakeError(
            f"{what} would take {claimed} bytes of memory, far more than a file of "
            "this size may"
        )


def read_array(path: Path) -> npt.NDArray[Any]:
    """Read a NumPy array from a `.npy` file.

    Args:
        path: The file.

    Returns:
        The array; never one of Python objects.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no array of numbers, or its header does not fit its size.
    """
    with open_file(path) as file:
        return _take_array(file, path.stat().st_size)


def read_arrays(
    path: Path, names: Sequence[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Read arrays from a `.npz` archive.

    Args:
        path: The archive.
        names: Arrays that are wanted, those that are there; all by default.

    Returns:
        Arrays by name; never of Python objects.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no archive of arrays of numbers, or claims to be far larger
            than it is.
    """
    with open_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _take_members(archive, names, find_limit(path))
        except (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as error:
            raise IntakeError(str(error) or "it is no archive") from error


def _take_members(
    archive: zipfile.ZipFile, names: Sequence[str] | None, limit: int
) -> dict[str, npt.NDArray[Any]]:
    infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    wanted = {
        name: info for name, info in infos.items() if names is None or name in names
    }
    if len(wanted) > MAX_COLUMNS:
        raise IntakeError(f"it holds {len(wanted)} arrays")
    _check_claim("its arrays", sum(i.file_size for i in wanted.values()), limit)
    arrays = {}
    for name, info in wanted.items():
        with archive.open(info) as member:
            arrays[name] = _take_array(member, info.file_size)
    return arrays


def _take_array(file: IO[bytes], size: int) -> npt.NDArray[Any]:
    """Read an array whose header says how many bytes follow it."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise IntakeError(f"its arrays are of version {version}")
    shape, is_fortran, dtype = read_header(file, max_header_size=MAX_HEADER_BYTES)
    if dtype.hasobject or dtype.itemsize == 0:
        raise IntakeError(
            f"it holds an array of type {str(dtype)[:40]}, not of numbers"
        )
    bytes_claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or bytes_claimed > size:
        raise IntakeError(
            f"an array of shape {str(shape)[:80]} and type {str(dtype)[:40]} needs "
            f"{bytes_claimed} bytes, but at most {size} follow"
        )
    content = file.read(bytes_claimed)
    if len(content) < bytes_claimed:
        raise IntakeError("it ends before its array does")
    values = np.frombuffer(bytearray(content), dtype)
    return values.reshape(shape, order="F" if is_fortran else "C")


def read_table(
    path: Path, columns: Sequence[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Read columns of numbers and texts from a Parquet file.

    Args:
        path: The file.
        columns: Columns that are wanted, those that are there; all by default.

    Returns:
        Columns by name: numbers and booleans as they are, or as float64 with NaN where
        one is absent; others as Python objects, None where one is absent.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such table, or claims to be far larger than it is.
        MemoryError: A page claims more memory than there is.
        NotImplementedError: It is encoded as PyArrow cannot read it.
    """
    from pyarrow import parquet

    limit = find_limit(path)
    with open_file(path) as raw:
        file = parquet.ParquetFile(raw, memory_map=False, pre_buffer=False)
        schema = file.schema_arrow
        wanted = [n for n in schema.names if columns is None or n in columns]
        _check_schema(schema, wanted)
        _check_claim("its rows", file.metadata.num_rows * 8 * len(wanted), limit)
        texts = [name for name in wanted if _is_text(schema.field(name).type)]
        file = parquet.ParquetFile(raw, pre_buffer=False, read_dictionary=texts)
        parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in wanted}
        words = _Words(limit)
        used = 0
        for batch in file.iter_batches(PART_ROWS, columns=wanted, use_threads=False):
            used += 8 * len(batch) * len(wanted)
            for name in wanted:
                parts[name].append(_to_numpy(batch.column(name), words))
                _check_claim("its columns", used + words.size_bytes, limit)
    return {name: _join(parts[name]) for name in wanted}


class _Words:
    """The texts of a file: equal ones are one object, and take memory once.

    Args:
        limit: Bytes that they may take.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[Any, Any] = {}
        self.size_bytes = 0
        """Of all texts so far, each counted once [byte]."""

    def decode(self, column: Any) -> npt.NDArray[Any]:
        """Decode a column whose texts are numbered.

        Args:
            column: An Arrow array of dictionary type.

        Returns:
            Its texts as objects, None where one is absent.

        Raises:
            IntakeError: They take too much memory, or a number has no text.
        """
        from pyarrow import compute

        numbers = column.indices.fill_null(-1).to_numpy()
        used, places = np.unique(numbers, return_inverse=True)
        present = used[used >= 0]
        if len(present) and present[-1] >= len(column.dictionary):
            raise IntakeError("one of its texts is missing")
        found = column.dictionary.take(present)
        size = compute.sum(compute.binary_length(found)).as_py() or 0
        _check_claim("its texts", size, self._limit)
        texts = np.full(len(used), None, dtype=object)
        texts[len(used) - len(present) :] = [*map(self._keep, found.to_pylist())]
        return np.asarray(texts[places])

    def _keep(self, text: Any) -> Any:
        """Return the text that is equal to one, and count a new one."""
        if text is not None and text not in self._known:
            self._known[text] = text
            self.size_bytes += len(text)
        return self._known.get(text)


def _check_schema(schema: Any, wanted: Sequence[str]) -> None:
    from pyarrow import types

    if len(schema.names) > MAX_COLUMNS:
        raise IntakeError(f"it has {len(schema.names)} columns")
    if len(set(wanted)) < len(wanted):
        raise IntakeError("two of its columns have the same name")
    for name in wanted:
        kind = schema.field(name).type
        if types.is_nested(kind):
            raise IntakeError(
                f"column {name[:40]!r} holds {str(kind)[:40]}, not numbers or texts"
            )


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return any(
        is_kind(kind)
        for is_kind in (
            types.is_string,
            types.is_large_string,
            types.is_binary,
            types.is_large_binary,
        )
    )


def _to_numpy(column: Any, words: _Words) -> npt.NDArray[Any]:
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind) and _is_text(kind.value_type):
        return words.decode(column)
    is_number = types.is_integer(kind) or types.is_floating(kind)
    if is_number or (types.is_boolean(kind) and not column.null_count):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def _join(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0)


def read_metadata(path: Path) -> Mapping[bytes, bytes]:
    """Read what the schema of a Parquet file says beside its columns.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no Parquet file.
    """
    from pyarrow import parquet

    with open_file(path) as raw:
        return parquet.ParquetFile(raw).schema_arrow.metadata or {}


def read_head(path: Path) -> list[str]:
    """Read the column names of a CSV file, before anything is made of its rows.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: Its first line is no list of names.
    """
    with open_file(path) as file:
        line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES or line.count(b",") >= MAX_COLUMNS:
        raise IntakeError(
            f"its first line names more than {MAX_COLUMNS} columns, or is longer than "
            f"{MAX_LINE_BYTES} bytes"
        )
    return line.decode("utf-8-sig").strip().split(",")


def describe(error: BaseException) -> str:
    """Say in one short line why a file could not be read.

    Args:
        error: What reading it raised.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    text = " ".join(text.split()).rstrip(".")
    return text[:200] or type(error).__name__


def take_mapping(content: Any) -> Mapping[str, Any]:
    """Return a table of names and values as it is.

    Args:
        content: What a file held.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(content, dict):
        raise IntakeError("it holds no table of names and values")
    return content
