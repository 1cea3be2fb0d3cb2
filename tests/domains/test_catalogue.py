"""Named sets: where they are looked for, what is downloaded, and what is refused."""

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from domains.formats.made import make_parquet
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains import catalogue
from mithridate.domains.catalogue import SETS, Download, is_named, load_named
from mithridate.domains.formats import read, write
from mithridate.domains.formats.idx import RECORD


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No folder of data, an empty cache, no proxy."""
    for name in ("MITHRIDATE_DATA", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mithridate"


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes())


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 7, 6), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10
FILES = {"train-images-idx3-ubyte.gz": idx(IMAGES), "train-labels-idx1-ubyte.gz": idx(LABELS)}


@pytest.fixture
def server():
    """A server on this machine; `files` says what it answers, `asked` what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            body = self.server.files.get(self.path.strip("/"))
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.files, found.asked = dict(FILES), []
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def served(server, monkeypatch):
    """MNIST as this server has it."""
    place = f"http://127.0.0.1:{server.server_port}/"
    files = tuple(
        Download(place + name, len(body), hashlib.sha256(body).hexdigest())
        for name, body in FILES.items()
    )
    monkeypatch.setitem(SETS, "mnist", replace(SETS["mnist"], splits={"train": files}))
    return server


def test_a_download_is_checked_kept_and_used_again(served, nowhere):
    source = load_named("mnist")
    assert torch.equal(source.data.inputs, torch.from_numpy(IMAGES)[:, None])
    assert source.data.labels.tolist() == LABELS.tolist()
    assert source.data.classes == tuple("0123456789")
    assert len(served.asked) == 2
    assert torch.equal(load_named("mnist").data.inputs, source.data.inputs)
    assert torch.equal(load_named("mnist", download=False).data.inputs, source.data.inputs)
    assert len(served.asked) == 2
    assert {path.name for path in (nowhere / "mnist").iterdir()} == set(FILES)


def test_another_file_than_the_pinned_one_is_thrown_away(served, nowhere):
    name = next(iter(FILES))
    served.files[name] = FILES[name][:-1] + b"x"
    with pytest.raises(UnsafeData, match=r"expected SHA-256 .*, found .*thrown away"):
        load_named("mnist")
    assert list((nowhere / "mnist").iterdir()) == []


def test_a_file_that_is_too_long_is_left(served, nowhere):
    served.files[next(iter(FILES))] += b"more"
    with pytest.raises(UnsafeData, match=r"expected \d+ bytes, found more"):
        load_named("mnist")
    assert list((nowhere / "mnist").iterdir()) == []


def test_a_file_that_is_cut_short_is_thrown_away(served, nowhere):
    name = next(iter(FILES))
    served.files[name] = FILES[name][:-9]
    with pytest.raises(UnsafeData, match="SHA-256"):
        load_named("mnist")


def test_a_server_that_refuses_is_named_with_the_way_out(served):
    del served.files[next(iter(FILES))]
    with pytest.raises(DataError, match=r"could not be downloaded .*404.*put train\.parquet there"):
        load_named("mnist")


def test_a_machine_without_a_network_says_what_to_put_where(monkeypatch, nowhere):
    files = SETS["mnist"].splits["train"]
    away = tuple(replace(f, url=f"http://127.0.0.1:9/{f.file}") for f in files)
    monkeypatch.setitem(SETS, "mnist", replace(SETS["mnist"], splits={"train": away}))
    with pytest.raises(DataError) as caught:
        load_named("mnist")
    for word in ("could not be downloaded", str(nowhere / "mnist"), "train.parquet",
                 "train-images-idx3-ubyte.gz", "MITHRIDATE_DATA"):  # fmt: skip
        assert word in str(caught.value)


def test_a_server_that_hangs_is_given_up(monkeypatch, nowhere):
    import socket

    monkeypatch.setattr(catalogue, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        file = Download(f"http://127.0.0.1:{silent.getsockname()[1]}/x", 1, "0" * 64)
        with pytest.raises(DataError, match=r"could not be downloaded .*timed out"):
            catalogue.fetch(file, nowhere, "")


def test_no_download_where_none_is_allowed(served):
    with pytest.raises(DataError, match=r"mnist \(train\) was not found"):
        load_named("mnist", download=False)
    assert served.asked == []


@pytest.mark.parametrize("name", ["gtsrb", "sst2", "ag-news"])
def test_what_has_no_pinned_file_is_asked_for(name):
    with pytest.raises(DataError, match=r"put train\.parquet there"):
        load_named(name)


def test_every_pinned_file_has_a_size_and_a_sha256():
    pinned = {file for known in SETS.values() for files in known.splits.values() for file in files}
    assert len(pinned) == 9  # four files of MNIST, four of Fashion-MNIST, one of CIFAR-10
    for file in pinned:
        assert len(file.sha256) == 64 and int(file.sha256, 16) and file.size > 1000


def test_a_folder_of_data_comes_before_the_cache(tmp_path, monkeypatch, nowhere):
    make_parquet(nowhere / "gtsrb" / "train.parquet")
    assert load_named("gtsrb").origin == nowhere / "gtsrb" / "train.parquet"
    make_parquet(tmp_path / "mine" / "gtsrb" / "train.parquet")
    monkeypatch.setenv("MITHRIDATE_DATA", str(tmp_path / "mine"))
    assert load_named("gtsrb").origin == tmp_path / "mine" / "gtsrb" / "train.parquet"
    with pytest.raises(DataError, match=r"gtsrb \(test\) was not found"):
        load_named("gtsrb", "test")


def test_fashion_mnist_is_read_from_its_own_files(tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name, body in FILES.items():
        (folder / name).write_bytes(body)
    monkeypatch.setenv("MITHRIDATE_DATA", str(tmp_path / "mine"))
    source = load_named("fashion-mnist", download=False)
    assert source.data.classes[9] == "Ankle boot" and len(source.data) == 20
    write(source.data, source.names, source, tmp_path / "out")
    again = read(tmp_path / "out")
    assert torch.equal(again.data.inputs, source.data.inputs)
    assert again.data.classes == source.data.classes


def test_a_broken_idx_file_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "fashion-mnist"
    folder.mkdir(parents=True)
    monkeypatch.setenv("MITHRIDATE_DATA", str(tmp_path / "mine"))
    images, labels = FILES
    good = FILES[images]
    long = gzip.compress(gzip.decompress(good) + b"x")
    bomb = gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2**31))
    for body in (b"", b"x" * 50, good[:-20], FILES[labels], long, bomb, idx(IMAGES[:5])):
        (folder / images).write_bytes(body)
        (folder / labels).write_bytes(FILES[labels])
        with pytest.raises(DataError, match=r"ubyte\.gz': expected"):
            load_named("fashion-mnist")


def test_cifar_is_read_from_its_archive(tmp_path, monkeypatch):
    monkeypatch.setattr("mithridate.domains.formats.idx.BATCH", 4)
    rows = np.random.default_rng(0).integers(0, 256, (24, RECORD), dtype=np.uint8)
    rows[:, 0] = np.arange(24) % 10
    folder = tmp_path / "mine" / "cifar10"
    folder.mkdir(parents=True)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for number, name in enumerate(names):
            data = rows[4 * number : 4 * number + 4].tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    monkeypatch.setenv("MITHRIDATE_DATA", str(tmp_path / "mine"))
    train, test = load_named("cifar10"), load_named("cifar10", "test")
    assert len(train.data) == 20 and len(test.data) == 4
    assert train.data.labels.tolist() == rows[:20, 0].tolist()
    pixels = torch.from_numpy(rows[7, 1:].reshape(3, 32, 32))
    assert torch.equal(train.data.inputs[7], pixels)
    (folder / "cifar-10-binary.tar.gz").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match="expected a gzipped tar archive"):
        load_named("cifar10")


def test_the_digits_come_with_scikit_learn():
    train, test = load_named("digits"), load_named("digits", "test")
    digits = load_digits()
    assert len(train.data) + len(test.data) == len(digits.target) == 1797
    assert train.data.inputs.shape == (1442, 1, 8, 8) and test.data.inputs.shape == (355, 1, 8, 8)
    rows = [int(name.split()[-1]) for name in train.names]
    assert train.data.labels.tolist() == digits.target[rows].tolist()
    assert (train.data.inputs[:, 0].numpy() == np.rint(digits.images[rows] / 16 * 255)).all()
    assert not set(train.names) & set(test.names)
    shares = test.data.labels.bincount() / (
        test.data.labels.bincount() + train.data.labels.bincount()
    )
    assert ((shares > 0.19) & (shares < 0.21)).all()


FLIPS = {"digits": False, "mnist": False, "cifar10": True, "gtsrb": False}


def test_mirroring_is_for_photographs_only():
    assert SETS["gtsrb"].flip is False and SETS["fashion-mnist"].flip is False


def test_the_real_sets_are_found(data_folder, monkeypatch):
    monkeypatch.setenv("MITHRIDATE_DATA", str(data_folder))
    sst2 = load_named("sst2", "validation")
    assert len(sst2.data) == 872 and sst2.data.classes == ("negative", "positive")
    assert sst2.domain.name == "text"


def test_names_are_told_from_paths():
    assert all(map(is_named, SETS)) and not is_named("./digits") and not is_named("cifar")


def test_unknown_names_and_splits_are_refused():
    with pytest.raises(DataError, match=r"'cifar1O'.*did you mean 'cifar10'"):
        load_named("cifar1O")
    with pytest.raises(DataError, match=r"'validation'.*train, test"):
        load_named("mnist", "validation")


@pytest.mark.parametrize("name", ["digits", "mnist", "cifar10", "gtsrb", "sst2", "ag-news"])
def test_the_domain_of_a_named_set_is_that_of_its_data(name, data_folder, monkeypatch):
    monkeypatch.setenv("MITHRIDATE_DATA", str(data_folder))
    domain = catalogue.load_named(name, "test", download=False).domain
    assert catalogue.domain_of(name) == domain.name
    assert getattr(domain, "flip", None) is FLIPS.get(name), "photographs alone are mirrored"
    assert catalogue.domain_of("some/folder") == ""
