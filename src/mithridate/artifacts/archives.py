"""Zip archives read member by member, after what they say has been compared with what they hold.

Members are unpacked by hand from the bytes between the local headers, with bounded memory: readers
that ignore checksums or flags would load what a careful reader refuses, so it must be looked at.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from mithridate.artifacts.findings import Log

CHUNK = 1 << 20
LOCAL = struct.Struct("<4sHHHHHIIIHH")
END, END64, LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
NATIVE = re.compile(r"\.(so|dll|dylib|exe|pyd|cubin|o|a)(\.\d+)*$")
NESTED = (b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")
BINARY = (b"\x7fELF", b"MZ\x90\x00", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf")


@dataclass(frozen=True)
class Member:
    """One file of an archive.

    Attributes:
        name: in the archive.
        start: where its bytes lie and how many they are.
        packed: where its bytes lie and how many they are.
        size: unpacked, as the archive says.
        stored: whether they are not compressed.
        crc: their checksum.
        readable: whether they can be unpacked here.
    """

    name: str
    start: int
    packed: int
    size: int
    stored: bool
    crc: int
    readable: bool


@dataclass(frozen=True)
class Archive:
    """An open archive; members: by name, without the folders."""

    file: BinaryIO
    members: dict[str, Member]

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Unpack a member piece by piece, no further than its declared size."""
        self.file.seek(member.start)
        unpack = zlib.decompressobj(-15)
        left, packed = member.size, member.packed
        pending = b""
        while left > 0:
            if not pending:
                pending = self.file.read(min(CHUNK, packed))
                packed -= len(pending)
                if not pending:
                    return
            if member.stored:
                piece, pending = pending[:left], b""
            else:
                piece = unpack.decompress(pending, min(CHUNK, left))
                pending = unpack.unconsumed_tail
            left -= len(piece)
            if piece:
                yield piece
            elif unpack.eof:
                return

    def read(self, member: Member, limit: int, log: Log) -> bytes | None:
        """Unpack a member of at most `limit` bytes; None, with a finding, where that fails."""
        if not member.readable:
            return None
        if member.size > limit:
            log.unknown(f"{member.size:,} bytes, more than {limit:,} are looked at", member.name)
            return None
        try:
            content = b"".join(self.chunks(member))
        except zlib.error as error:
            log.warning(f"it cannot be unpacked: {error}", member.name)
            return None
        if len(content) != member.size:
            log.warning(f"expected {member.size:,} bytes, found {len(content):,}", member.name)
        elif zlib.crc32(content) != member.crc:
            log.warning("the checksum is wrong: the file was changed or damaged", member.name)
        return content

    def head(self, member: Member, count: int) -> bytes:
        """The first bytes of a member."""
        try:
            return next(self.chunks(member), b"")[:count] if member.readable else b""
        except zlib.error:
            return b""


def open_archive(file: BinaryIO, size: int, log: Log) -> Archive | None:
    """Read the list of members and compare it with the file; None where that is impossible."""
    if not _check_end(file, size, log):
        return None
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as opened:
            infos = opened.infolist()
            comment = len(opened.comment)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        log.warning(f"the archive is broken: {error}")
        return None
    members = [_member(file, size, info, log) for info in infos]
    if comment:
        log.note(f"the archive carries a comment of {comment} bytes")
    _names(infos, log)
    _sizes(members, size, log)
    contents = Archive(file, {m.name: m for m in members if not m.name.endswith("/")})
    if not log.bomb:
        _contents(contents, log)
    return contents


def _check_end(file: BinaryIO, size: int, log: Log) -> bool:
    """Check what the end of the file says before the list of members is read."""
    tail = min(size, 22 + 65_535 + 20)
    file.seek(size - tail)
    words = file.read(tail)
    place = words.rfind(END)
    if place < 0 or len(words) - place < 22:
        log.warning("the archive has no end: it was cut off")
        return False
    count, length = struct.unpack("<HI", words[place + 10 : place + 16])
    locator = words[max(0, place - 20) : place]
    if locator[:4] == LOCATOR:
        start = struct.unpack("<Q", locator[8:16])[0]
        file.seek(min(start, size))
        record = file.read(56)
        if len(record) < 56 or record[:4] != END64:
            log.warning("the archive's 64-bit end is missing or lies elsewhere")
            return False
        count, length = struct.unpack("<QQ", record[32:48])
    if count > log.limits.members or length > log.limits.directory:
        log.danger(f"the archive lists {count:,} members in {length:,} bytes")
        return False
    return True


def _member(file: BinaryIO, size: int, info: zipfile.ZipInfo, log: Log) -> Member:
    """Compare one entry of the list with the header before its bytes."""
    name = info.filename
    member = Member(name, 0, info.compress_size, info.file_size, info.compress_type == 0,
                    info.CRC, readable=False)  # fmt: skip
    if info.flag_bits & 0x2041:
        log.danger("the member is encrypted and cannot be looked at", name)
        return member
    if info.compress_type not in (0, 8):
        log.danger(f"the member is packed by method {info.compress_type}, not looked at", name)
        return member
    file.seek(max(0, info.header_offset))
    words = file.read(LOCAL.size)
    if len(words) < LOCAL.size or words[:4] != b"PK\x03\x04" or info.header_offset < 0:
        log.warning("the list of members points where no member is", name)
        return member
    fields = LOCAL.unpack(words)
    inner, length, extra = file.read(fields[9]), fields[9], fields[10]
    start = info.header_offset + LOCAL.size + length + extra
    if inner != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "ignore"):
        log.danger("the member has another name in its own header", name)
    if fields[3] != info.compress_type or fields[2] & 1 != info.flag_bits & 1:
        log.danger("the member's own header tells of another packing than the list", name)
    if start + info.compress_size > size:
        log.danger("the member ends after the end of the file", name)
        return member
    if member.stored and info.compress_size != info.file_size:
        log.danger("a member that is not packed has two different sizes", name)
        return member
    return replace(member, start=start, readable=True)


def _names(infos: list[zipfile.ZipInfo], log: Log) -> None:
    """Look at the names, as somebody who unpacks them would meet them."""
    for info in infos:
        name = info.orig_filename.replace("\\", "/")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
            log.danger("the member's path leads out of the archive's folder", info.orig_filename)
        if "\0" in name:
            log.danger("the member's name holds a null, which readers cut differently", name)
        mode = info.external_attr >> 16
        if info.create_system == 3 and stat.S_ISLNK(mode):
            log.danger("the member is a link", info.filename)
        elif info.create_system == 3 and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            log.danger("the member is neither a file nor a folder", info.filename)
    # torch finds members without regard to capitals, so these are one to it and two to others
    for name, count in Counter(info.filename.casefold() for info in infos).items():
        if count > 1:
            log.danger(f"{count} members have this name, and readers take different ones", name)


def _sizes(members: list[Member], size: int, log: Log) -> None:
    """Look for bombs: members that share bytes, or unpack to far more than the file holds."""
    end, last = 0, ""
    for member in sorted((m for m in members if m.readable), key=lambda m: m.start):
        if member.start < end:
            log.danger(f"the member shares bytes with {last!r}", member.name)
        if member.start + member.packed > end:
            end, last = member.start + member.packed, member.name
    total = sum(member.size for member in members)
    if total > log.limits.slack and total > log.limits.ratio * size:
        log.danger(f"{size:,} bytes unpack to {total:,}: the archive is a bomb")
        log.bomb = True


def _contents(archive: Archive, log: Log) -> None:
    """Look for members that are programs or archives themselves, whatever their names say."""
    # An exported program keeps weights of a class of their own as archives, which are looked into
    exported = any(name.rpartition("/")[2] == "archive_format" for name in archive.members)
    for name, member in archive.members.items():
        head = archive.head(member, 8)
        if NATIVE.search(name.casefold()) or head.startswith(BINARY):
            log.danger("the member is machine code", name)
        elif exported and head.startswith(NESTED[0]):
            continue
        elif head.startswith(NESTED) and not name.endswith((".pt", ".pth")):
            log.warning("the member is an archive itself and was not looked into", name)
