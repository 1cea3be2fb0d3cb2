"""Archives and shards: read as what they hold, without unpacking, and refused where they harm."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from domains.formats.made import (
    encoded,
    make_folder,
    make_parquet,
    make_tar,
    make_tree,
    make_zip,
    pixels,
    shard_files,
    tree_files,
)
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read, write


def make(path, files):
    return (make_zip if path.suffix == ".zip" else make_tar)(path, files)


def refuses(path, *words, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        read(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


ENDS = [".zip", ".tar", ".tar.gz", ".tgz"]


@pytest.mark.parametrize("end", ENDS)
def test_an_archive_is_read_as_the_tree_that_it_holds(tmp_path, end):
    plain = read(make_tree(tmp_path / "tree"))
    files = dict(reversed(tree_files().items()))  # another order than that of the names
    source = read(make(tmp_path / f"data{end}", files))
    assert torch.equal(source.data.inputs, plain.data.inputs)
    assert source.data.labels.tolist() == plain.data.labels.tolist()
    assert source.data.classes == plain.data.classes and source.names == plain.names
    assert source.format == "tree" and source.origin.name == f"data{end}"
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"data{end}", "tree"], "nothing unpacked"


@pytest.mark.parametrize("before", ["./", "photos/", "a/b/", "train/"])
def test_folders_around_the_classes_are_gone_into(tmp_path, before):
    files = {before + name: data for name, data in tree_files().items()}
    assert read(make_tar(tmp_path / "a.tar", files)).data.classes == ("cat", "dog")
    assert len(read(make_folder(tmp_path / "out", files)).data) == 4


def test_an_archive_alone_in_a_folder_is_read(tmp_path):
    make_zip(tmp_path / "a.zip", tree_files())
    assert len(read(tmp_path).data) == 4


def test_what_systems_leave_behind_is_skipped(tmp_path):
    files = {**tree_files(), "__MACOSX/cat/._0.png": b"x", "cat/.DS_Store": b"x"}
    source = read(make_zip(tmp_path / "a.zip", files))
    assert len(source.data) == 4 and set(source.skipped) == {"__MACOSX", "cat/.DS_Store"}


@pytest.mark.parametrize("end", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "cat/../../evil.png"])
def test_a_name_that_leads_out_is_refused(tmp_path, end, name):
    path = make(tmp_path / f"a{end}", {**tree_files(), name: encoded(pixels(9))})
    refuses(path, "evil.png", "leads out", kind=UnsafeData)
    source = read(path, keep_going=True)
    assert len(source.data) == 4 and len(source.rejected) == 1


def test_a_name_with_a_drive_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {**tree_files(), "C:\\evil.png": b"x"})
    refuses(path, "leads out", kind=UnsafeData)


def test_backslashes_of_old_zip_programs_separate_folders(tmp_path):
    files = {name.replace("/", "\\"): data for name, data in tree_files().items()}
    assert read(make_zip(tmp_path / "a.zip", files)).data.classes == ("cat", "dog")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE,
                                  tarfile.CHRTYPE])  # fmt: skip
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = make_tar(tmp_path / "a.tar", tree_files())
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("dog/link.png")
        info.type, info.linkname = kind, "cat/0.png"
        archive.addfile(info)
    refuses(path, "dog/link.png", "a link or a device", kind=UnsafeData)


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", tree_files())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("dog/link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    refuses(path, "dog/link.png", "a link or a device", kind=UnsafeData)


@pytest.mark.parametrize("end", ENDS)
def test_what_an_archive_unpacks_to_is_bounded(tmp_path, end):
    path = make(tmp_path / f"a{end}", tree_files())
    refuses(path, "when unpacked", "Limits.total", kind=UnsafeData, limits=Limits(total=300))
    refuses(path, "at most 3 examples", limits=Limits(rows=3))
    refuses(path, "at most 50 bytes", kind=UnsafeData, limits=Limits(file=50))


@pytest.mark.parametrize("end", [".zip", ".tgz"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path, end):
    path = make(tmp_path / f"a{end}", {**tree_files(), "dog/z.bmp": bytes(2**27)})
    refuses(path, "200 times", "bomb", kind=UnsafeData, limits=Limits(file=2**28))


def test_a_long_name_in_a_tar_is_bounded_before_it_is_read(tmp_path):
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**30
    path.write_bytes(info.tobuf() + bytes(1024))
    refuses(path, "parts of at most", kind=UnsafeData)


def test_a_password_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", tree_files())
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    refuses(path, "password", kind=UnsafeData)


def test_a_file_that_is_not_what_the_archive_says_is_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", tree_files())
    data = bytearray(path.read_bytes())
    data[60:64] = b"0123"
    path.write_bytes(bytes(data))
    refuses(path, "cat/0.png", "in the archive, found", "keep_going")
    assert len(read(path, keep_going=True).data) == 3


@pytest.mark.parametrize("end", ENDS)
def test_a_broken_archive_is_refused(tmp_path, end):
    path = tmp_path / f"a{end}"
    path.write_bytes(b"no archive" * 100)
    refuses(path, "whole", "archive", "broken")
    whole = make(tmp_path / f"b{end}", tree_files())
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 4])
    with pytest.raises(DataError):
        read(whole)


def test_an_archive_in_an_archive_is_not_opened(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", tree_files()).read_bytes()
    refuses(make_zip(tmp_path / "a.zip", {"inner.zip": inner}), "archive", "unpack it")
    refuses(make_zip(tmp_path / "b.zip", {**tree_files(), "cat/x.zip": inner}), "cat/x.zip")


def test_tables_in_an_archive_are_read_only_with_their_pictures(tmp_path):
    table = make_parquet(tmp_path / "a.parquet").read_bytes()
    refuses(make_zip(tmp_path / "a.zip", {"a.parquet": table}), "unpack it")
    texts = {"a.csv": b"text,label\na b,0\nc d,1\n"}
    refuses(make_zip(tmp_path / "b.zip", texts), "csv", "unpack it")


def test_the_same_name_twice_is_refused(tmp_path):
    path = make_tar(tmp_path / "a.tar", {**tree_files(), "./cat/0.png": b"x"})
    refuses(path, "every name once")


def test_archives_that_are_no_shards_are_read_one_by_one(tmp_path):
    for name in ("a", "b"):
        make_tar(tmp_path / f"{name}.tar", tree_files())
    refuses(tmp_path, "shards of a WebDataset", "give the path of one")


def test_a_copy_of_an_archive_is_a_tree(tmp_path):
    source = read(make_tar(tmp_path / "a.tgz", tree_files()))
    write(source.data, source.names, source, tmp_path / "out")
    again = read(tmp_path / "out")
    assert torch.equal(again.data.inputs, source.data.inputs)
    assert again.data.labels.tolist() == source.data.labels.tolist()


def test_shards_of_a_web_data_set_are_read_one_after_the_other(tmp_path):
    for shard in range(2):
        make_tar(tmp_path / f"{shard:06d}.tar", shard_files(3, start=3 * shard))
    source = read(tmp_path)
    assert source.format == "webdataset" and source.data.classes == ("0", "1")
    assert source.data.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert source.names[3] == "000001.tar/0003.png"
    expected = np.stack([pixels(i) for i in range(6)])
    assert np.array_equal(source.data.inputs.permute(0, 2, 3, 1), expected)
    alone = read(tmp_path / "000001.tar")
    assert alone.names == ("0003.png", "0004.png", "0005.png")


def test_shards_of_several_splits_are_told_apart(tmp_path):
    make_tar(tmp_path / "train-000.tar", shard_files(4))
    make_tar(tmp_path / "test-000.tar", shard_files(2))
    assert len(read(tmp_path).data) == 4 and len(read(tmp_path, split="test").data) == 2


def test_labels_of_a_shard_may_stand_in_json(tmp_path):
    files = {}
    for i in range(4):
        files[f"{i}.jpg"] = encoded(pixels(i), "JPEG")
        files[f"{i}.json"] = b'{"label": "%s", "width": 5}' % [b"cat", b"dog"][i % 2]
    source = read(make_tar(tmp_path / "a.tar", files))
    assert source.data.classes == ("cat", "dog") and source.data.labels.tolist() == [0, 1, 0, 1]
    refuses(make_tar(tmp_path / "b.tar", files), "'labl'", "did you mean", label="labl")


def test_a_key_without_a_picture_or_a_label_is_refused(tmp_path):
    files = {**shard_files(), "0009.cls": b"1"}
    refuses(make_tar(tmp_path / "a.tar", files), "0009", "a picture of this key", "keep_going")
    files = {**shard_files(), "0009.png": encoded(pixels(9))}
    refuses(make_tar(tmp_path / "b.tar", files), "0009.png", "expected a label")
    assert len(read(tmp_path / "b.tar", keep_going=True).data) == 4


def test_of_several_pictures_of_a_key_one_is_named(tmp_path):
    files = {}
    for i in range(4):
        files |= {f"{i}.input.png": encoded(pixels(i)), f"{i}.mask.png": encoded(pixels(i + 9)),
                  f"{i}.cls": str(i % 2).encode()}  # fmt: skip
    path = make_tar(tmp_path / "a.tar", files)
    refuses(path, ".input.png, .mask.png", "content=")
    source = read(path, content="mask.png")
    assert np.array_equal(source.data.inputs[0].permute(1, 2, 0), pixels(9))


def test_a_shard_cut_short_is_refused(tmp_path):
    path = make_tar(tmp_path / "a.tar", shard_files())
    data = path.read_bytes()
    path.write_bytes(data[:2000])
    refuses(path, "found")
    path.write_bytes(data[: 4 * 1024])  # between two files, where nothing looks broken
    assert any("no end mark" in note for note in read(path).notes)


def test_hostile_names_in_an_archive_are_names(tmp_path):
    files = {**tree_files(), "dog/<img src=x>\n.png": encoded(pixels(5))}
    assert "dog/<img src=x>\n.png" in read(make_tar(tmp_path / "a.tar", files)).names
    info = tarfile.TarInfo("dog/\udcff.png")
    info.size = len(encoded(pixels(6)))
    with tarfile.open(tmp_path / "a.tar", "a") as archive:
        archive.addfile(info, io.BytesIO(encoded(pixels(6))))
    names = read(tmp_path / "a.tar").names
    assert "dog/\\xff.png" in names
    "".join(names).encode()
