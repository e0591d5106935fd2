"""Reading small text files that people write, and that may be anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class UnreadableFileError(Exception):
    """A file that is not a small text file; the message says why, without the file's name."""


def read_text(path: Path, *, limit: int) -> tuple[str, os.stat_result]:
    """Return the text of a file and the status of the very file that was read.

    Parameters
    ----------
    limit
        Largest size, bytes.

    Raises
    ------
    UnreadableFileError
        It is missing, not a regular file (a pipe would block for ever), larger than ``limit``, or not UTF-8.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor: what is checked is what is read
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableFileError("it is not a regular file")
            content = file.read(limit + 1)
        if len(content) > limit:
            raise UnreadableFileError(f"it is larger than {limit // 1000} kB")
        return content.decode("utf-8-sig"), status
    except OSError as error:
        raise UnreadableFileError(error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"it is not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise UnreadableFileError(str(error)) from None
