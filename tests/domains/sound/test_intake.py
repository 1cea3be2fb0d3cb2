"""Sounds as people have them: read whole, as floats, and of one rate and length."""

import io
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

from domains.sound.recordings import folder, packed, tone, two_classes
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read, write
from mithridate.domains.formats.arriving import inputs_like
from mithridate.domains.formats.sound_files import decode


@pytest.mark.parametrize("format, suffix", [("WAV", "wav"), ("FLAC", "flac"), ("OGG", "ogg")])
def test_class_folders_are_read(tmp_path, format, suffix):
    source = read(folder(tmp_path, two_classes(suffix=suffix, format=format)))
    assert source.domain.name == "sound" and source.domain.rate == 8000
    assert source.data.inputs.dtype == torch.int16
    assert source.data.inputs.shape == (8, round(0.28 * 8000))
    assert source.data.classes == ("high", "low")
    loudest = source.data.inputs.abs().amax(1).float() / 32768
    assert torch.allclose(loudest, torch.tensor(0.3), atol=0.03)


def test_hugging_face_columns_of_sounds_are_read_and_written_back(tmp_path):
    several = two_classes()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": data, "path": name} for name, data in several.items()]
    labels = [name.split("/")[0] for name in several]
    table = pa.table({"audio": pa.array(cells, kind), "label": labels})
    pq.write_table(table, tmp_path / "train.parquet")
    source = read(tmp_path / "train.parquet")
    assert source.domain.name == "sound" and source.data.inputs.dtype == torch.int16
    write(source.data, source.names, source, tmp_path / "copy")
    again = read(tmp_path / "copy")
    assert torch.equal(again.data.inputs, source.data.inputs)
    assert again.domain == source.domain


def test_a_column_that_only_names_files_is_refused_with_what_to_do(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": None, "path": f"{row}.wav"} for row in range(4)]
    table = pa.table({"audio": pa.array(cells, kind), "label": [0, 1, 0, 1]})
    meta = b'{"info": {"features": {"audio": {"_type": "Audio"}}}}'
    pq.write_table(table.replace_schema_metadata({b"huggingface": meta}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="embed them in the file"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_of_paths_labels_the_sounds_beside_it(tmp_path, name):
    files = {f"{row}.wav": packed(tone(300 + 100 * row)) for row in range(4)}
    folder(tmp_path, files)
    if name.endswith("csv"):
        lines = ["file_name,label", *(f"{row}.wav,{'ab'[row % 2]}" for row in range(4))]
    else:
        lines = [f'{{"file_name": "{row}.wav", "label": "{"ab"[row % 2]}"}}' for row in range(4)]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    source = read(tmp_path)
    assert source.domain.name == "sound" and source.data.classes == ("a", "b")
    assert source.data.labels.tolist() == [0, 1, 0, 1]


def test_several_rates_become_the_usual_one_without_folding(tmp_path):
    files = two_classes(6)
    files["low/odd.wav"] = packed(tone(7000, 0.3, 44100), 44100)  # above half of 8,000
    source = read(folder(tmp_path, files))
    assert source.domain.rate == 8000
    odd = source.data.inputs[source.names.index("low/odd.wav")]
    assert odd[200:2000].abs().max() < 0.02 * 32768, "what cannot be held must not be folded back"
    assert any("were resampled" in note for note in source.notes)
    assert any("2 rates" in note for note in source.notes)


def test_floats_are_clipped_and_not_wrapped_and_it_is_said(tmp_path):
    files = {
        name: packed(np.frombuffer(data[44:], np.int16) / 8192, subtype="FLOAT")
        for name, data in two_classes().items()
    }
    source = read(folder(tmp_path, files))
    first = source.data.inputs[4].float()
    steps = (first[1:] - first[:-1]).abs().max()
    assert first.max() == 32767 and steps < 32768, "no sample wraps around"
    assert any("8 sounds are louder than full scale" in note for note in source.notes)


def test_float_wav_is_scaled(tmp_path):
    clip = decode(packed(np.full(100, 0.5), subtype="FLOAT"), Limits())
    assert clip.samples[0] == 16384


def test_several_channels_become_their_mean():
    both = np.stack([np.full(100, 0.5), np.zeros(100)], 1)
    clip = decode(packed(both), Limits())
    assert clip.samples[0] == 8192 and clip.traits == ("mixed",)


def test_clips_are_cut_to_what_most_of_them_last_and_it_is_said(tmp_path):
    files = {
        f"{'ab'[row % 2]}/{row}.wav": packed(tone(400, 2.0 if row == 7 else 0.2))
        for row in range(200)
    }
    source = read(folder(tmp_path, files))
    assert source.data.inputs.shape[1] == 1600
    assert any("1 of 200 were longer" in note for note in source.notes)
    assert read(tmp_path, seconds=0.1).data.inputs.shape[1] == 800


WHOLE = packed(tone())
HEADER_LIES = WHOLE[:40] + struct.pack("<I", 2**30) + WHOLE[44:]
FLAC = packed(tone(), format="FLAC")


@pytest.mark.parametrize(
    "data, why",
    [
        (b"", "empty file"),
        (b"not a sound at all", "something else"),
        (WHOLE[:30], "broken|cut short|without samples"),
        (WHOLE[:-1000], "cut short"),
        (HEADER_LIES, "cut short"),
        (FLAC[: len(FLAC) // 2], "cut short|broken"),
        (packed(np.zeros(0)), "without samples"),
        (packed(np.array([0.1, np.nan, 0.1]), subtype="FLOAT"), "NaN"),
        (packed(tone(), format="AIFF"), "something else"),
        (packed(np.zeros((10, 20))), "at most 16 channels"),
        (packed(tone(), 10), "samples a second"),
    ],
    ids=["empty", "no-sound", "header", "cut", "header-lies", "cut-flac", "no-samples", "nan",
         "aiff", "channels", "rate"],
)  # fmt: skip
def test_what_is_no_whole_sound_is_refused_in_a_sentence(data, why):
    with pytest.raises(DataError, match=why):
        decode(data, Limits())


def test_a_sound_of_too_many_samples_is_refused_before_it_is_unpacked():
    small = packed(np.zeros(200_000), format="FLAC")
    assert len(small) < 10_000
    with pytest.raises(UnsafeData, match="at most 1000 samples"):
        decode(small, Limits(samples=1000))


def test_a_flac_header_that_declares_too_little_or_nothing_is_not_believed():
    data = bytearray(packed(np.zeros(200_000), format="FLAC"))
    for at in range(21, 26):  # the count of samples, 36 bits, of which 0 means unknown
        data[at] = data[at] & 0xF0 if at == 21 else 0
    with pytest.raises(DataError):
        clip = decode(bytes(data), Limits(samples=1000))
        assert len(clip.samples) <= 1000


def test_silent_classes_are_refused_and_few_silent_clips_are_said(tmp_path):
    files = two_classes()
    files["low/0.wav"] = packed(np.zeros(2000))
    source = read(folder(tmp_path / "few", files))
    assert any("1 of 8 sounds are silent" in note for note in source.notes)
    for row in range(4):
        files[f"low/{row}.wav"] = packed(np.zeros(2000))
    with pytest.raises(DataError, match="nothing can be judged that is silent"):
        read(folder(tmp_path / "most", files))


def test_a_broken_file_is_named_and_can_be_passed_over(tmp_path):
    files = two_classes()
    files["low/0.wav"] = b"RIFF"
    folder(tmp_path, files)
    with pytest.raises(DataError, match=r"low/0\.wav"):
        read(tmp_path)
    assert len(read(tmp_path, keep_going=True).rejected) == 1


def test_pictures_among_sounds_are_refused(tmp_path):
    from PIL import Image

    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "PNG")
    with pytest.raises(DataError, match="found both"):
        read(folder(tmp_path, {**two_classes(), "low/x.png": picture.getvalue()}))


def test_what_is_written_back_is_the_same(tmp_path):
    source = read(folder(tmp_path / "a", two_classes()))
    write(source.data, source.names, source, tmp_path / "b")
    again = read(tmp_path / "b")
    assert torch.equal(again.data.inputs, source.data.inputs)
    assert again.names == source.names and again.domain == source.domain


def test_what_arrives_gets_the_length_that_the_model_knows():
    known = torch.ones(3, 100, dtype=torch.int16)
    for length in (50, 100, 200):
        arriving = torch.ones(2, length, dtype=torch.int16)
        alike = inputs_like(known, arriving, "here")
        assert alike.shape == (2, 100) and int(alike.sum()) == 2 * min(length, 100)
    with pytest.raises(DataError, match="sounds of 100 samples"):
        inputs_like(known, torch.ones(2, 3, 8, 8, dtype=torch.uint8), "here")
