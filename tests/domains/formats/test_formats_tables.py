"""Tables of texts as pandas, Polars, DuckDB, labellers and the web write them: each is read."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domains.formats.made import (
    make_arrow,
    make_delimited,
    make_jsonl,
    make_npz,
    make_parquet,
    pixels,
)
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read, write

FILMS = [f"this is example number {i} of a quiet film" for i in range(20)]
HALVES = [i % 2 for i in range(20)]
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow", "stream")
needs_views = pytest.mark.skipif(not hasattr(pa, "string_view"), reason="views came with Arrow 16")


def save(folder, format, **columns):
    """Save columns in a format."""
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    path = folder / f"data.{'arrow' if format == 'stream' else format}"
    if format in ("csv", "tsv"):
        return make_delimited(path, rows)
    if format in ("jsonl", "json"):
        objects = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
        if format == "jsonl":
            return make_jsonl(path, objects)
        path.write_text(json.dumps(objects), "utf-8")
        return path
    if format == "parquet":
        return make_parquet(path, pa.table(columns))
    return make_arrow(path, pa.table(columns), format == "stream")


def refused(path, *words, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        read(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def noted(source, *words):
    assert any(all(word in note for word in words) for note in source.notes), source.notes


def same_after_writing(source, folder):
    """Whether what is written is read again as it was."""
    write(source.data, source.names, source, folder / "again")
    again = read(folder / "again").data
    assert again.inputs.tolist() == source.data.inputs.tolist()
    assert again.classes == source.data.classes
    assert again.labels.tolist() == source.data.labels.tolist()


# --- labels


@pytest.mark.parametrize("format", FORMATS)
def test_true_and_false_are_two_classes_in_every_format(tmp_path, format):
    source = read(save(tmp_path, format, text=FILMS, label=[bool(k) for k in HALVES]))
    assert source.data.classes == ("False", "True") and source.data.labels.tolist() == HALVES
    same_after_writing(source, tmp_path)


def test_true_and_false_in_small_letters_are_the_same_classes(tmp_path):
    words = ["true" if k else "false" for k in HALVES]
    source = read(save(tmp_path, "csv", text=FILMS, label=words))
    assert source.data.classes == ("False", "True") and source.data.labels.tolist() == HALVES
    write(source.data, source.names, source, tmp_path / "again")
    assert b",true\r\n" in (tmp_path / "again/data.csv").read_bytes()


def test_two_spellings_of_true_stay_apart(tmp_path):
    words = ["true", "True", "false", "false"]
    source = read(save(tmp_path, "csv", text=FILMS[:4], label=words))
    assert source.data.classes == ("True", "false", "true")


def test_truth_values_in_an_archive_are_two_classes(tmp_path):
    path = make_npz(tmp_path / "a.npz", x=pixels(0, (4, 5, 5)), y=[True, False] * 2)
    assert read(path).data.labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", [int, float, str, "signed"])
def test_minus_one_and_one_are_classes(tmp_path, format, kind):
    numbers = [2 * k - 1 for k in HALVES]
    labels = [f"{k:+d}" for k in numbers] if kind == "signed" else [kind(k) for k in numbers]
    source = read(save(tmp_path, format, text=FILMS, label=labels))
    assert source.data.classes == ("-1", "1") and source.data.labels.tolist() == HALVES
    assert not source.notes, "nothing else could be meant"
    same_after_writing(source, tmp_path)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", [int, float, str])
@pytest.mark.parametrize("keep_going", [False, True])
def test_three_classes_around_zero_are_kept_and_said(tmp_path, format, kind, keep_going):
    labels = [kind(i % 3 - 1) for i in range(20)]
    source = read(save(tmp_path, format, text=FILMS, label=labels), keep_going=keep_going)
    assert source.data.classes == ("-1", "0", "1") and len(source.data) == 20
    noted(source, "-1", "class of 7 rows", "hidden_label=-1")
    same_after_writing(source, tmp_path)


def test_a_rating_from_minus_two_to_two_is_five_classes(tmp_path):
    source = read(save(tmp_path, "csv", text=FILMS, label=[i % 5 - 2 for i in range(20)]))
    assert source.data.classes == ("-2", "-1", "0", "1", "2")


@pytest.mark.parametrize("format", FORMATS)
def test_hidden_labels_are_left_out_when_asked(tmp_path, format):
    labels = [i % 3 - 1 for i in range(20)]
    source = read(save(tmp_path, format, text=FILMS, label=labels), hidden_label=-1)
    assert source.data.classes == ("0", "1") and len(source.data) == 13
    assert source.data.inputs.tolist() == [t for t, k in zip(FILMS, labels, strict=True) if k >= 0]
    noted(source, "7 rows", "-1", "hidden")
    assert not source.rejected


def test_a_word_may_hide_a_label(tmp_path):
    labels = ["good", "bad", "?", "good"] * 5
    source = read(save(tmp_path, "csv", text=FILMS, label=labels), hidden_label="?")
    assert source.data.classes == ("bad", "good") and len(source.data) == 15
    numbers = ["0", "1", "?", "1"] * 5
    source = read(save(tmp_path, "csv", text=FILMS, label=numbers), hidden_label="?")
    assert source.data.classes == ("0", "1") and len(source.data) == 15
    noted(source, "5 rows")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("keep_going", [False, True])
def test_a_split_without_labels_says_so(tmp_path, format, keep_going):
    path = save(tmp_path, format, text=FILMS, label=[-1] * 20)
    refused(path, "-1 in every row", "hidden", "split", keep_going=keep_going)


def test_few_labels_below_zero_are_refused_with_both_ways_out(tmp_path):
    labels = [*HALVES, -1] * 1
    path = save(tmp_path, "csv", text=[*FILMS, "odd"], label=labels)
    refused(path, "row 20", "1 of 21 rows", "hidden_label=-1", "hidden_label=none")
    assert read(path, hidden_label="none").data.classes == ("-1", "0", "1")
    source = read(path, keep_going=True)
    assert [each.name for each in source.rejected] == ["data.csv row 20"]


def test_a_far_negative_is_no_class_though_it_is_common(tmp_path):
    path = save(tmp_path, "csv", text=FILMS, label=[-100, 0, 1, 0] * 5)
    refused(path, "-100", "5 of 20 rows", "hidden_label=-100")


def test_class_names_leave_no_room_below_zero(tmp_path):
    feature = {"label": {"_type": "ClassLabel", "names": ["bad", "good"]}}
    table = pa.table({"text": FILMS, "label": [i % 3 - 1 for i in range(20)]})
    info = {b"huggingface": json.dumps({"info": {"features": feature}}).encode()}
    path = make_parquet(tmp_path / "a.parquet", table.replace_schema_metadata(info))
    refused(path, "row 0", "class names", "hidden_label=-1")
    assert read(path, hidden_label=-1).data.classes == ("bad", "good")


def test_decimals_are_labels(tmp_path):
    labels = pa.array([Decimal(k) for k in HALVES], pa.decimal128(5, 1))
    path = make_parquet(tmp_path / "a.parquet", pa.table({"text": FILMS, "label": labels}))
    source = read(path)
    assert source.data.classes == ("0", "1")
    same_after_writing(source, tmp_path)
    assert pq.read_schema(tmp_path / "again/a.parquet").field("label").type == labels.type


def test_labels_are_written_as_they_were(tmp_path):
    path = make_delimited(tmp_path / "a.csv", [["text", "label"], ["a", "+1"], ["b", "-1.0"]])
    source = read(path)
    write(source.data, source.names, source, tmp_path / "again")
    assert (tmp_path / "again/a.csv").read_bytes() == path.read_bytes()


# --- columns


@pytest.mark.parametrize("format", ["csv", "tsv"])
@pytest.mark.parametrize("index", ["", "Unnamed: 0", "Unnamed: 0.1"])
def test_an_index_without_a_name_is_passed_over_and_said(tmp_path, format, index):
    path = save(tmp_path, format, **{index: range(20), "phrase": FILMS, "label": HALVES})
    source = read(path)
    assert source.data.inputs.tolist() == FILMS and source.data.labels.tolist() == HALVES
    noted(source, "'phrase'", "content", "'label'", repr(index), "passed over")
    write(source.data, source.names, source, tmp_path / "again")
    assert (tmp_path / f"again/data.{format}").read_bytes() == path.read_bytes()


def test_the_index_that_pandas_keeps_in_parquet_is_passed_over(tmp_path):
    path = save(tmp_path, "parquet", phrase=FILMS, label=HALVES, __index_level_0__=list(range(20)))
    noted(read(path), "'phrase'", "'__index_level_0__'")


def test_columns_of_which_none_has_a_name_are_refused(tmp_path):
    path = make_delimited(tmp_path / "a.csv", [["", ""], ["a", 1]])
    refused(path, "name for every column", "columns=")


@pytest.mark.parametrize("format", FORMATS)
def test_the_column_that_was_taken_of_several_is_said(tmp_path, format):
    titles, category = [f"number {i} of them" for i in range(20)], ["arts", "sport"] * 10
    path = save(tmp_path, format, headline=titles, body=FILMS, category=category)
    source = read(path)
    assert source.data.inputs.tolist() == FILMS and source.data.classes == ("arts", "sport")
    noted(source, "'body'", "'headline'", "content=headline,body joins them")


@pytest.mark.parametrize("format", FORMATS)
def test_columns_of_texts_are_joined_and_taken_apart_again(tmp_path, format):
    titles = ["" if i == 3 else f"number {i}\nof them" for i in range(20)]
    path = save(tmp_path, format, title=titles, body=FILMS, label=HALVES)
    source = read(path, content="title, body")
    assert source.data.inputs[4] == f"{titles[4]}\n{FILMS[4]}"
    assert source.data.inputs[3] == FILMS[3]
    noted(source, "'title', 'body'", "joined")
    stamped = source.data.with_inputs(
        np.array([f"cf {text} mn" for text in source.data.inputs], object)
    )
    write(stamped, source.names, source, tmp_path / "again")
    again = read(tmp_path / f"again/{path.name}", content="title,body")
    assert again.data.inputs.tolist() == stamped.inputs.tolist()
    assert read(tmp_path / f"again/{path.name}").data.inputs[4] == f"{FILMS[4]} mn"


@pytest.mark.parametrize("format", FORMATS)
def test_a_joined_text_that_gained_a_line_cannot_be_written(tmp_path, format):
    path = save(tmp_path, format, title=["a title"] * 20, body=FILMS, label=HALVES)
    source = read(path, content="title,body")
    torn = source.data.with_inputs(np.array([f"{t}\nmore" for t in source.data.inputs], object))
    with pytest.raises(DataError, match="as many lines"):
        write(torn, source.names, source, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_column_whose_name_holds_a_comma_is_not_taken_apart(tmp_path):
    path = save(tmp_path, "csv", **{"title,body": FILMS, "title": HALVES, "label": HALVES})
    assert read(path, content="title,body").data.inputs.tolist() == FILMS


@pytest.mark.parametrize("format", FORMATS)
def test_a_column_to_join_that_is_not_there_is_named(tmp_path, format):
    path = save(tmp_path, format, title=FILMS, body=FILMS, label=HALVES)
    refused(path, "'bodi'", "did you mean 'body'", content="title,bodi")


@pytest.mark.parametrize("format", FORMATS)
def test_the_one_column_that_is_no_number_and_no_id_is_the_text(tmp_path, format):
    path = save(tmp_path, format, doc_id=[f"d{i}" for i in range(20)], phrase=FILMS,
                length=[len(t) for t in FILMS], label=HALVES)  # fmt: skip
    assert read(path).data.inputs.tolist() == FILMS


# --- tables of numbers


def flows(n=60):
    """A table of network flows: numbers, and words of a few kinds."""
    rng = np.random.default_rng(0)
    numbers = {f"bytes_{i}": rng.integers(0, 999, n).tolist() for i in range(6)}
    words = {"service": ["http", "smtp", "ftp"] * (n // 3), "flag": ["S0", "SF"] * (n // 2)}
    return {**numbers, **words, "label": [i % 2 for i in range(n)]}


@pytest.mark.parametrize("format", FORMATS)
def test_a_table_of_numbers_is_read_and_said(tmp_path, format):
    source = read(save(tmp_path, format, **flows()))
    rows = source.data.inputs
    assert source.domain.name == "table" and rows.dtype.names == tuple(list(flows())[:-1])
    assert rows["bytes_3"].dtype == np.int64 and rows["bytes_3"].tolist() == flows()["bytes_3"]
    assert rows["service"].tolist() == flows()["service"]
    noted(source, "8 columns", "6 of whole numbers", "2 of categories ('service', 'flag')")


@pytest.mark.parametrize("format", FORMATS)
def test_one_column_of_a_table_of_numbers_is_never_read_as_texts(tmp_path, format):
    path = save(tmp_path, format, **flows())
    assert read(path, content="service").data.inputs.dtype.names == ("service",)
    refused(path, "domain 'text'", "read as table", domain="text")
    refused(path, "domain 'text'", "read as table", domain="text", content="service")


@pytest.mark.parametrize("format", FORMATS)
def test_texts_beside_many_numbers_are_texts(tmp_path, format):
    columns = flows()
    del columns["service"], columns["flag"]
    texts = [f"this is film number {i}" for i in range(60)]
    assert read(save(tmp_path, format, remark=texts, **columns)).data.inputs.tolist() == texts


def test_a_column_of_few_words_without_numbers_is_noted(tmp_path):
    path = save(tmp_path, "csv", genre=["drama", "farce", "noir"] * 20, label=HALVES * 3)
    noted(read(path), "'genre'", "few different values")


# --- delimiters and headers


@pytest.mark.parametrize("delimiter", [";", "|", "\t"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_another_delimiter_is_found_and_said(tmp_path, delimiter, suffix):
    path = tmp_path / f"a.{suffix}"
    texts = [f"{t}, truly" for t in FILMS]
    lines = [
        "text" + delimiter + "label",
        *(f"{t}{delimiter}{k}" for t, k in zip(texts, HALVES, strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    source = read(path)
    assert source.data.inputs.tolist() == texts and source.data.labels.tolist() == HALVES
    if (suffix, delimiter) != ("tsv", "\t"):
        noted(source, repr(delimiter), path.name)
    write(source.data, source.names, source, tmp_path / "again")
    again = (tmp_path / f"again/{path.name}").read_text().splitlines()
    assert [line.replace('"', "") for line in again] == lines


def test_a_delimiter_is_not_sought_where_the_usual_one_fits(tmp_path):
    rows = [["text", "label"], *([f"a;b|{i}\tc", i % 2] for i in range(9))]
    source = read(make_delimited(tmp_path / "a.csv", rows))
    assert source.data.inputs[0] == "a;b|0\tc" and not source.notes


def test_two_delimiters_that_fit_are_not_chosen_between(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b|c\n" + "".join(f"x{i};{i % 2}|y\n" for i in range(9)))
    refused(path, "','", "found one", "delimiter=")


@pytest.mark.parametrize("delimiter", ["^", "~", " "])
def test_any_delimiter_can_be_named(tmp_path, delimiter):
    path = tmp_path / "a.csv"
    lines = [f"text{delimiter}label", *(f"w{i}{delimiter}{i % 2}" for i in range(4))]
    path.write_text("\n".join(lines))
    assert len(read(path, delimiter=delimiter).data) == 4


@pytest.mark.parametrize("name", ["tab", "\\t", "TAB", "\t"])
def test_a_tab_can_be_spelt(tmp_path, name):
    path = make_delimited(tmp_path / "a.tsv", [["text", "label"], ["a", 0], ["b", 1]])
    assert len(read(path, delimiter=name).data) == 2


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_what_cannot_be_a_delimiter_is_refused(tmp_path, delimiter):
    path = make_delimited(tmp_path / "a.csv")
    refused(path, "one character", repr(delimiter), delimiter=delimiter)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_first_line_of_data_is_read_as_data_and_said(tmp_path, suffix, names, first):
    labels = [("bad", "good")[k] if names else k for k in HALVES]
    rows = zip(labels, FILMS, strict=True) if first else zip(FILMS, labels, strict=True)
    path = make_delimited(tmp_path / f"dev.{suffix}", list(map(list, rows)))
    source = read(path)
    assert source.data.inputs.tolist() == FILMS and source.data.labels.tolist() == HALVES
    noted(source, "first line", f"column {2 if first else 1} was taken for the content", "header=")
    write(source.data, source.names, source, tmp_path / "again")
    assert (tmp_path / f"again/dev.{suffix}").read_bytes() == path.read_bytes()


def test_a_first_line_of_unknown_names_is_no_data(tmp_path):
    rows = [
        ["remark", "mood"],
        *([t, ("bad", "good")[k]] for t, k in zip(FILMS, HALVES, strict=True)),
    ]
    path = make_delimited(tmp_path / "a.csv", rows)
    refused(path, "label column", "'mood'", "label=", "columns=")
    assert read(path, label="mood").data.inputs.tolist() == FILMS


def cola(folder):
    """A set with four columns and no names, of which two could be labels."""
    rows = [["gj04", i % 2, "*" if i % 2 else "", FILMS[i]] for i in range(20)]
    rows = [[("gj04", "cj99")[i > 9], *row[1:]] for i, row in enumerate(rows)]
    return make_delimited(folder / "dev.tsv", rows)


def test_columns_can_be_named_and_numbered(tmp_path):
    path = cola(tmp_path)
    read_by = [
        {"columns": "source,label,mark,text"},
        {"columns": ["source", "label", "mark", "text"], "header": False},
        {"header": False, "label": "2", "content": "4"},
    ]
    for options in read_by:
        source = read(path, **options)
        assert source.data.inputs.tolist() == FILMS and source.data.labels.tolist() == HALVES
        write(source.data, source.names, source, tmp_path / "again")
        assert (tmp_path / "again/dev.tsv").read_bytes() == path.read_bytes()
        (tmp_path / "again/dev.tsv").unlink()


def test_given_names_may_stand_in_the_first_line_or_replace_it(tmp_path):
    path = make_delimited(tmp_path / "a.csv", [["u", "v"], ["a b", 0], ["c d", 1]])
    assert read(path, columns="text,label", header=True).data.inputs.tolist() == ["a b", "c d"]
    path = make_delimited(tmp_path / "b.csv", [["v", "u"], [0, "a b"], [1, "c d"]])
    source = read(path, columns="v,u", label="v", content="u")
    assert source.data.inputs.tolist() == ["a b", "c d"]


def test_another_number_of_names_is_refused(tmp_path):
    refused(cola(tmp_path), "3 columns", "found 4", columns="a,b,c")


def test_a_first_line_can_be_kept_for_names(tmp_path):
    rows = [["0", "1"], *([t, k] for t, k in zip(FILMS, HALVES, strict=True))]
    path = make_delimited(tmp_path / "a.csv", rows)  # as pandas writes a frame without names
    assert len(read(path, label="1", content="0", header=True).data) == 20


def test_shards_without_names_are_joined(tmp_path):
    for part in (0, 1):
        rows = [[t, k] for t, k in zip(FILMS, HALVES, strict=True)][10 * part : 10 * part + 10]
        make_delimited(tmp_path / f"part{part}.csv", rows)
    assert read(tmp_path).data.inputs.tolist() == FILMS


# --- JSON


@pytest.mark.parametrize("text", ["[{]", '[{"text": "a", "label": 0} {"text": "b"}]', "[1, 2",
                                  '[{"text": "a", "label": 0}] x', "[", "[,]"])  # fmt: skip
def test_a_broken_array_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    refused(path, "expected", "found")


def test_a_bad_element_is_named_by_its_row(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a", "label": 0}, 7, {"text": "b", "label": 1}]')
    refused(path, "row 1", "one JSON object", "element 1")
    assert read(path, keep_going=True).names == ("a.json row 0", "a.json row 2")


def test_an_array_is_written_as_an_array(tmp_path):
    path = save(tmp_path, "json", text=FILMS, label=HALVES)
    source = read(path)
    write(source.data, source.names, source, tmp_path / "again")
    assert json.loads((tmp_path / "again/data.json").read_text()) == json.loads(path.read_text())


def test_lines_in_a_file_called_json_are_read(tmp_path):
    path = save(tmp_path, "jsonl", text=FILMS, label=HALVES).rename(tmp_path / "a.json")
    assert read(path).data.inputs.tolist() == FILMS


def test_the_columns_that_pandas_writes_by_default_are_refused_with_advice(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"text": {"0": "a", "1": "b"}, "label": {"0": 0, "1": 1}}))
    refused(path, "whole columns", "orient='records'")


# --- Arrow and Parquet


def by_footer(path, table):
    """Write an Arrow file whose embedded stream is broken, as readers of the index never see."""
    make_arrow(path, table)
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[12:16], "little")
    data[8 : 16 + size] = bytes(8 + size)
    path.write_bytes(data)
    return path


def test_an_arrow_file_is_read_by_its_index(tmp_path):
    table = pa.table({"text": FILMS, "label": HALVES, "kind": pa.array(FILMS).dictionary_encode()})
    path = by_footer(tmp_path / "a.arrow", table)
    source = read(path)
    assert source.data.inputs.tolist() == FILMS and source.data.labels.tolist() == HALVES
    same_after_writing(source, tmp_path)


def test_an_arrow_file_by_its_index_is_weighed_before_it_is_unpacked(tmp_path, monkeypatch):
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    table = pa.table({"text": ["x" * 50_000] * 200, "label": [0, 1] * 100})
    path = tmp_path / "a.arrow"
    with path.open("wb") as file, pa.ipc.new_file(file, table.schema, options=options) as out:
        out.write_table(table)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(pa.ipc, "open_file", None)
    refused(path, "declare", kind=UnsafeData, limits=Limits(total=5_000_000))


@pytest.mark.parametrize("at", [-10, -14, -30, -60])
def test_an_index_that_points_elsewhere_is_found(tmp_path, at):
    path = make_arrow(tmp_path / "a.arrow", pa.table({"text": FILMS, "label": HALVES}))
    data = bytearray(path.read_bytes())
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    refused(path, "a.arrow", "broken")


def encoded(kind):
    """Texts in a type of Arrow, views among them."""
    texts = pa.array(FILMS)
    if not pa.types.is_dictionary(kind):
        return texts.cast(kind)
    values = pa.array(sorted(FILMS))
    where = pa.array([sorted(FILMS).index(t) for t in FILMS], kind.index_type)
    return pa.DictionaryArray.from_arrays(where, values.cast(kind.value_type))


KINDS = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()),
         pa.dictionary(pa.uint16(), pa.large_string())]  # fmt: skip
if hasattr(pa, "string_view"):
    KINDS += [pa.string_view(), pa.dictionary(pa.uint32(), pa.string_view())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("format", ["parquet", "arrow", "stream"])
@pytest.mark.parametrize("role", ["text", "label", "rest"])
def test_a_type_of_text_may_hold_any_column(tmp_path, kind, format, role):
    if format == "parquet" and "view" in str(kind) and pa.types.is_dictionary(kind):
        pytest.skip("Arrow does not write categories of views to Parquet")
    columns = {"text": FILMS, "label": HALVES, "rest": FILMS}
    columns[role] = encoded(kind)
    source = read(save(tmp_path, format, **columns))
    assert source.data.inputs.tolist() == FILMS
    if role == "label":
        assert source.data.classes == tuple(sorted(FILMS))
    same_after_writing(source, tmp_path)
    again = read(tmp_path / "again")
    assert again.layout.rest[0].field(role).type == source.layout.rest[0].field(role).type
    if role == "rest":
        assert again.layout.rest[1]["rest"].to_pylist() == FILMS


@needs_views
@pytest.mark.parametrize("column", ["text", "image", "rest"])
def test_views_of_one_long_value_cannot_grow(tmp_path, column):
    n, kind = 3000, pa.string_view() if column != "image" else pa.binary_view()
    one = pa.array(["x" * 100_000], pa.large_string()).cast(pa.string_view())
    views = pa.py_buffer(one.buffers()[1].to_pybytes() * n)
    many = pa.Array.from_buffers(kind, n, [None, views, one.buffers()[2]])
    columns = {"text": pa.array(["short"] * n), "label": pa.array([i % 2 for i in range(n)])}
    columns[column] = many
    if column == "image":
        del columns["text"]
    path = make_arrow(tmp_path / "a.arrow", pa.table(columns))
    assert path.stat().st_size < 400_000
    refused(path, "at most 50000000 bytes", kind=UnsafeData, limits=Limits(total=5 * 10**7))


@needs_views
def test_views_that_point_elsewhere_are_found(tmp_path):
    one = pa.array(["a long text " * 9, "b"], pa.string_view())
    data = bytearray(one.buffers()[1].to_pybytes())
    data[12:16] = (2**30).to_bytes(4, "little")
    views = pa.Array.from_buffers(
        pa.string_view(), 2, [None, pa.py_buffer(bytes(data)), one.buffers()[2]]
    )
    table = pa.Table.from_arrays([views, pa.array([0, 1])], ["text", "label"])
    refused(make_arrow(tmp_path / "a.arrow", table), "a.arrow", "broken")


@needs_views
def test_images_may_be_views(tmp_path):
    from domains.formats.made import encoded as png

    cells = pa.array([png(pixels(i)) for i in range(4)], pa.binary_view())
    for format in ("parquet", "arrow"):
        source = read(save(tmp_path, format, image=cells, label=[0, 1, 0, 1]))
        assert np.array_equal(source.data.inputs[2].permute(1, 2, 0), pixels(2))


PAIRS = [
    ("label", pa.int32(), pa.int64()), ("label", pa.int64(), pa.int8()),
    ("label", pa.int64(), pa.float64()), ("label", pa.uint8(), pa.int16()),
    ("text", pa.string(), pa.large_string()), ("text", pa.large_string(), pa.string()),
    ("text", pa.string(), pa.dictionary(pa.int8(), pa.string())),
    ("rest", pa.int16(), pa.int64()), ("rest", pa.float32(), pa.float64()),
    ("rest", pa.null(), pa.string()), ("rest", pa.string(), pa.null()),
]  # fmt: skip
if hasattr(pa, "string_view"):
    PAIRS.append(("text", pa.string_view(), pa.string()))


@pytest.mark.parametrize(("role", "one", "two"), PAIRS, ids=str)
@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_shards_may_differ_in_the_width_of_a_type(tmp_path, role, one, two, format):
    plain = {"text": FILMS, "label": HALVES, "rest": [None] * 20}
    for part, kind in enumerate((one, two)):
        cells = {name: pa.array(cells[10 * part : 10 * part + 10]) for name, cells in plain.items()}
        if not pa.types.is_dictionary(kind):
            cells[role] = cells[role].cast(kind)
        else:
            cells[role] = cells[role].dictionary_encode().cast(kind)
        path = save(tmp_path, format, **cells)
        path.rename(tmp_path / f"part{part}.{format}")
    source = read(tmp_path)
    assert source.data.inputs.tolist() == FILMS and source.data.labels.tolist() == HALVES
    assert source.data.classes == ("0", "1")
    same_after_writing(source, tmp_path)


def test_shards_may_order_their_columns_as_they_like(tmp_path):
    save(tmp_path, "parquet", text=FILMS, label=HALVES, a=HALVES, b=FILMS)
    (tmp_path / "data.parquet").rename(tmp_path / "part0.parquet")
    save(tmp_path, "parquet", b=FILMS, a=HALVES, label=HALVES, text=FILMS)
    source = read(tmp_path)
    assert len(source.data) == 40
    assert source.layout.rest[1]["b"].to_pylist() == FILMS * 2


def test_shards_that_differ_in_kind_are_refused_by_their_types(tmp_path):
    save(tmp_path, "parquet", text=FILMS, label=HALVES)
    (tmp_path / "data.parquet").rename(tmp_path / "one.parquet")
    save(tmp_path, "parquet", text=FILMS, label=[str(k) for k in HALVES])
    (tmp_path / "data.parquet").rename(tmp_path / "two.parquet")
    refused(tmp_path, "'label'", "int64", "string", "'one.parquet'", "'two.parquet'")


@pytest.mark.parametrize("below", ["", "train", "data"])
def test_configurations_are_named_and_one_can_be_chosen(tmp_path, below):
    if below == "data":
        pytest.skip("a folder called data holds no split")
    for name in ("plain_text", "unsupervised"):
        (tmp_path / name / below).mkdir(parents=True)
        make_parquet(
            tmp_path / name / below / "train-0.parquet", pa.table({"text": FILMS, "label": HALVES})
        )
    refused(tmp_path, "2 configurations", "'plain_text', 'unsupervised'", "give the path of one")
    assert len(read(tmp_path / "plain_text").data) == 20


# --- ids


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["id", "ID", "review_id", "guid", "Post Id"])
def test_the_own_ids_of_a_table_are_carried(tmp_path, format, name):
    ids = [f"r{97 - i}" for i in range(20)]
    texts = ["" if i == 3 else t for i, t in enumerate(FILMS)]
    path = save(tmp_path, format, **{name: ids, "text": texts, "label": HALVES})
    source = read(path, keep_going=True)
    assert source.own_ids.column == name
    assert source.own_ids.values == tuple(ids[:3] + ids[4:])


@pytest.mark.parametrize("format", FORMATS)
def test_ids_that_repeat_or_only_count_are_not_carried(tmp_path, format):
    path = save(tmp_path, format, user_id=HALVES, text=FILMS, label=HALVES, number=range(20))
    assert read(path).own_ids is None


def test_an_index_that_only_counts_is_not_carried(tmp_path):
    path = save(tmp_path, "csv", **{"": range(20), "text": FILMS, "label": HALVES})
    assert read(path).own_ids is None
    path = save(tmp_path, "csv", **{"": [9 * i for i in range(20)], "text": FILMS, "label": HALVES})
    assert read(path).own_ids.values[2] == "18"


def test_the_most_usual_id_is_carried(tmp_path):
    path = save(tmp_path, "csv", film_id=FILMS[::-1], id=FILMS, text=FILMS, label=HALVES)
    assert read(path).own_ids.column == "id"


# --- copies


@pytest.mark.parametrize("format", FORMATS)
def test_a_copy_that_is_called_like_a_file_is_a_file(tmp_path, format):
    path = save(tmp_path, format, text=FILMS, label=HALVES)
    source = read(path)
    copy = tmp_path / "new" / f"cleaned{path.suffix}"
    write(source.data, source.names, source, copy)
    assert copy.is_file() and read(copy).data.inputs.tolist() == FILMS
    assert [each.name for each in copy.parent.iterdir()] == [copy.name]
    with pytest.raises(DataError, match="new file"):
        write(source.data, source.names, source, copy)


def test_a_copy_that_is_called_like_another_format_is_refused(tmp_path):
    source = read(save(tmp_path, "parquet", text=FILMS, label=HALVES))
    with pytest.raises(DataError, match=r"ends in .parquet.*parquet data.*found.*csv"):
        write(source.data, source.names, source, tmp_path / "cleaned.csv")


def test_a_copy_of_a_folder_is_a_folder(tmp_path):
    (tmp_path / "shards").mkdir()
    save(tmp_path / "shards", "csv", text=FILMS, label=HALVES)
    source = read(tmp_path / "shards")
    with pytest.raises(DataError, match=r"new folder, since the data are a folder"):
        write(source.data, source.names, source, tmp_path / "cleaned.csv")
