"""Programs and scripts by published structure (ELF gABI, PE/COFF); code and data are random."""

import struct
from typing import Final

import numpy as np

from research.stego.payloads import draw_text

Rng = np.random.Generator

_STUB: Final = bytes.fromhex("0e1fba0e00b409cd21b8014ccd21") + b"This program cannot be run in DOS mode.\r\r\n$"
_OPCODES: Final = np.frombuffer(bytes.fromhex("4889e5c390554883ec0fb68b45e8ff7424757431c0c9415441535657ebfe"), np.uint8)
_SCRIPTS: Final = (
    b"#!/bin/sh\nset -e\n", b"#!/bin/bash\n", b"#!/usr/bin/env python3\nimport os\n", b"@echo off\r\nsetlocal\r\n",
    b"<?php\n", b"#!/usr/bin/perl\nuse strict;\n", b"$ErrorActionPreference = 'Stop'\r\n", b"import os, sys\n",
    b"#!/usr/bin/env node\n", b"#!/usr/bin/env bash\nset -euo pipefail\n", b"function main() {\n", b"<script>\n",
)  # fmt: skip
_LINES: Final = (
    b"echo \"$HOME\"\n", b"curl -fsSL http://{0}.example/{1} -o /tmp/{1}\n", b"for {0} in $(ls); do echo ${0}; done\n",
    b"print('{0}')\n", b"if [ -f {0} ]; then rm -f {1}; fi\n", b"def {0}({1}):\n    return {1} + 1\n",
    b"set {0}={1}\r\n", b"copy {0} {1} /y\r\n", b"$x = file_get_contents('{0}');\n", b"chmod +x {0} && ./{0}\n",
    b"Invoke-WebRequest {0} -OutFile {1}\r\n", b"var {0} = require('{1}');\n", b"# {0} {1}\n", b"exit 0\n",
)  # fmt: skip


def make_script(rng: Rng, size: int) -> bytes:
    """Make a script of about `size` bytes; it mostly ends in a newline and never in a zero byte."""
    parts = [_SCRIPTS[rng.integers(len(_SCRIPTS))]]
    while sum(map(len, parts)) < size:
        line = _LINES[rng.integers(len(_LINES))]
        words = [draw_text(rng, int(rng.integers(4, 12)), "letters").replace(b" ", b"_") for _ in range(2)]
        parts.append(line.replace(b"{0}", words[0]).replace(b"{1}", words[1]))
    return b"".join(parts)


def make_elf(rng: Rng, size: int) -> bytes:
    """Make a 64-bit or 32-bit ELF file: header, program headers, code, strings."""
    wide = bool(rng.random() < 0.8)
    little = bool(rng.random() < 0.9)
    order = "<" if little else ">"
    identity = b"\x7fELF" + bytes([1 + wide, 2 - little, 1, int(rng.choice([0, 0, 3]))]) + bytes(8)
    kind, machine = int(rng.choice([2, 3, 3, 1])), int(rng.choice([62, 62, 183, 40, 3, 8, 243]))
    segments, sections = int(rng.integers(1, 14)), int(rng.integers(3, 38))
    entry = int(rng.integers(0x400, 0x9000)) + (0x400000 if kind == 2 else 0)
    sizes = (64, 56, 64) if wide else (52, 32, 40)
    form = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    fields = (kind, machine, 1, entry, sizes[0], size, 0, sizes[0], sizes[1], segments, sizes[2], sections)
    head = struct.pack(order + form, *fields, sections - 1)
    rows = []
    for at, span in rng.integers(sizes[0], 0x9000, (segments, 2)).tolist():
        segment, flags = int(rng.choice((1, 3, 6, 2, 4))), int(rng.choice((4, 5, 6)))
        align = int(rng.choice((8, 4096, 1))) if wide else 4
        row = (
            (segment, flags, at, at, at, span, span, align) if wide else (segment, at, at, at, span, span, flags, align)
        )
        rows.append(struct.pack(order + ("IIQQQQQQ" if wide else "IIIIIIII"), *row))
    loader = (b"/lib64/ld-linux-x86-64.so.2\x00", b"/lib/ld-musl-x86_64.so.1\x00", b"")[rng.integers(3)]
    names = b"\x00libc.so.6\x00puts\x00printf\x00__libc_start_main\x00GLIBC_2.2.5\x00.symtab\x00.strtab\x00.text\x00"
    return identity + head + b"".join(rows) + loader + draw_code(rng, size) + names + bytes(int(rng.integers(0, 40)))


def make_exe(rng: Rng, size: int) -> bytes:
    """Make a PE file: DOS header and stub, COFF header, sections, code."""
    new = int(rng.choice([0x80, 0xE0, 0xE8, 0xF0, 0xF8, 0x100, 0x108, 0x40]))
    dos = b"MZ" + (bytes.fromhex("90000300000004000000ffff0000b800000000000000400000000000") if rng.random() < 0.85
                   else rng.integers(0, 4, 28, dtype=np.uint8).tobytes())  # fmt: skip
    dos = dos.ljust(60, b"\x00") + new.to_bytes(4, "little")
    dos = (dos + (_STUB if new > 0x40 else b"")).ljust(new, b"\x00")[:new]
    wide = bool(rng.random() < 0.6)
    count = int(rng.integers(2, 8))
    machine, magic, extent, flags = (0x8664, 0x20B, 240, 0x22) if wide else (0x14C, 0x10B, 224, 0x102)
    coff = b"PE\x00\x00" + struct.pack("<HHIIIHH", machine, count, int(rng.integers(10**9, 2**31)), 0, 0, extent, flags)
    optional = struct.pack("<HBBIIII", magic, 14, 0, *(int(value) for value in rng.integers(0x200, 0x9000, 4)))
    optional = optional.ljust(extent, b"\x00")
    sections = b""
    for name in (b".text", b".rdata", b".data", b".rsrc", b".reloc", b".pdata", b".bss")[:count]:
        places = (int(value) for value in rng.integers(0x200, 0x9000, 4))
        sections += name.ljust(8, b"\x00") + struct.pack("<IIIIIIHHI", *places, 0, 0, 0, 0, 0x60000020)
    head = (dos + coff + optional + sections).ljust(1024, b"\x00")
    return head + draw_code(rng, size) + bytes(int(rng.integers(0, 512)))


def draw_code(rng: Rng, size: int) -> bytes:
    """Draw bytes distributed like machine code: a few common values, many zeros, some of any value."""
    code = _OPCODES[rng.integers(len(_OPCODES), size=size)].copy()
    roll = rng.random(size)
    code[roll < 0.25] = 0
    other = roll > 0.6
    code[other] = rng.integers(0, 256, int(other.sum()), dtype=np.uint8)
    return code.tobytes()
