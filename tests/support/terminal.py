"""A terminal that remembers what a program draws on it."""

from __future__ import annotations

import contextlib
import os
import pty
import struct
import termios
import threading
import time
from fcntl import ioctl
from typing import TextIO

# not written by any command: what came before it was read, once it was
END = "\x05"


class Terminal:
    """A terminal of some columns: what was written to it, and what stands on it."""

    def __init__(self, columns: int) -> None:
        self.master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        self.columns, self.found, self.asked = columns, b"", 0
        # a terminal that nobody reads lets its writer wait
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while more := os.read(self.master, 65536):
                self.found += more

    def text(self) -> str:
        """All that was written so far."""
        self.stream.write(END)
        self.stream.flush()
        self.asked += 1
        until = time.monotonic() + 60
        while self.found.count(END.encode()) < self.asked:
            assert time.monotonic() < until, "what was written to the terminal did not come back"
            time.sleep(0.01)
        return self.found.decode().replace(END, "")

    def screen(self) -> list[str]:
        """The rows as a person sees them, of characters of one column."""
        rows, column = [""], 0
        text = self.text().replace("\x1b[K", "\x00")
        for character in text:
            if character == "\n":
                rows.append("")
                column = 0
            elif character == "\r":
                column = 0
            elif character == "\x00":
                rows[-1] = rows[-1][:column]
            else:
                assert column < self.columns, "the line has wrapped"
                rows[-1] = rows[-1][:column] + character + rows[-1][column + 1 :]
                column += 1
        return rows
