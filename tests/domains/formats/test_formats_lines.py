"""CSV, TSV and JSON lines: what is read, and how each bad file is refused."""

import json

import pytest

from domains.formats.made import LABELS, TEXTS, make_delimited, make_jsonl
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read


@pytest.fixture(params=["csv", "tsv", "jsonl"])
def save(request, tmp_path):
    """Save rows, the first of which names the columns, in one of the three formats."""

    def save(rows=None):
        path = tmp_path / f"data.{request.param}"
        if request.param != "jsonl":
            return make_delimited(path, rows)
        objects = (
            None if rows is None else [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
        )
        return make_jsonl(path, objects)

    return save


def refuses(path, *words, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        read(path, **options)
    for word in (path.name, *words):
        assert word in str(caught.value), str(caught.value)


def rows(*pairs):
    return [["text", "label"], *map(list, pairs)]


def test_texts_and_labels_are_read(save):
    path = save()
    source = read(path)
    assert source.data.inputs.tolist() == TEXTS and source.data.inputs.dtype == object
    assert source.data.labels.tolist() == LABELS and source.data.classes == ("0", "1")
    assert source.names[2] == f"{path.name} row 2"
    assert source.format == path.suffix[1:] and source.domain.name == "text"


def test_labels_may_be_names(save):
    source = read(save(rows(("a", "pos"), ("b", "neg"), ("c", "pos"))))
    assert source.data.classes == ("neg", "pos") and source.data.labels.tolist() == [1, 0, 1]


def test_numbers_may_be_written_as_fractions(save):
    assert read(save(rows(("a", 1.0), ("b", 0.0)))).data.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("label", "words"),
    [(-1, ("0 or more", "-1")), (0.5, ("whole number", "0.5")), (10**12, ("too large",)),
     ("", ("expected a label", "none")), ("x", ("whole number", "'x'")), (10**30, ("expected",)),
     (float("nan"), ("expected",)), (float("inf"), ("expected",))],
)  # fmt: skip
def test_a_bad_label_is_named_by_its_row(save, label, words):
    path = save(rows(("a", 0), ("b", 1), ("c", label), ("d", 1)))
    refuses(path, f"{path.name} row 2", *words)
    source = read(path, keep_going=True)
    assert source.data.inputs.tolist() == ["a", "b", "d"] and len(source.rejected) == 1


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_an_empty_text_is_refused(save, text):
    path = save(rows(("a", 0), (text, 1), ("c", 1)))
    refuses(path, "row 1", "expected a text", "empty")
    assert read(path, keep_going=True).names == (f"{path.name} row 0", f"{path.name} row 2")


def test_a_text_that_is_too_long_is_refused(save):
    path = save(rows(("a", 0), ("x" * 200_000, 1), ("c", 1)))
    refuses(path, "row 1", "at most 100000", "200000", kind=UnsafeData)
    assert len(read(path, keep_going=True).data) == 2
    assert len(read(path, limits=Limits(text=200_000)).data) == 3


def test_one_class_only_is_refused(save):
    refuses(save(rows(("a", 1), ("b", 1))), "two classes", "only class '1'")


def test_an_empty_file_is_refused(save):
    path = save()
    path.write_bytes(b"")
    refuses(path, "expected", "found")


def test_a_missing_label_column_is_refused(save):
    refuses(save([["text", "other"], ["a", 0], ["b", 1]]), "label column", "'other'", "label=")


def test_a_missing_text_column_is_refused(save):
    path = save([["u", "v", "label"], ["a", "b", 0], ["c", "d", 1]])
    refuses(path, "content column", "'u', 'v'", "content=")
    assert read(path, content="v").data.inputs.tolist() == ["b", "d"]


def test_the_one_column_that_is_left_is_the_text(save):
    assert read(save([["phrase", "label"], ["a", 0], ["b", 1]])).data.inputs.tolist() == ["a", "b"]


def test_an_unknown_column_is_refused(save):
    refuses(save(), "'labels'", "did you mean 'label'", label="labels")


def test_bad_encoding_is_named_by_its_row(save):
    path = save(rows(("a", 0), ("caf#", 1), ("c", 1), ("d", 0)))
    path.write_bytes(path.read_bytes().replace(b"#", b"\xe9"))
    refuses(path, "row 1", "UTF-8")
    assert read(path, keep_going=True).data.inputs.tolist() == ["a", "c", "d"]


def test_utf16_is_named(save):
    path = save()
    path.write_text(path.read_text("utf-8"), "utf-16")
    refuses(path, "UTF-16", "save the file as UTF-8")


def test_a_mark_at_the_beginning_is_no_part_of_the_text(save):
    path = save()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path).data.inputs.tolist() == TEXTS


def test_too_many_rows_are_refused(save):
    refuses(save(), "at most 5", limits=Limits(rows=5))


def test_a_file_that_is_too_large_is_refused(save):
    refuses(save(), "at most 50 bytes", kind=UnsafeData, limits=Limits(total=50))


def test_texts_are_not_read_as_images(save):
    refuses(save(), "read as text", domain="image")


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_columns_of_the_same_name_are_refused(tmp_path, suffix):
    path = make_delimited(tmp_path / f"a.{suffix}", [["text", "label", "label"], ["a", 0, 1]])
    refuses(path, "'label'", "more than once")


@pytest.mark.parametrize("cells", [["c"], ["c", 1, 2], []])
def test_a_row_with_other_cells_is_named_by_its_line(tmp_path, cells):
    path = make_delimited(tmp_path / "a.csv", [*rows(("a", 0), ("b", 1)), cells])
    if not cells:  # a blank line is no row
        assert len(read(path).data) == 2
        return
    refuses(path, "row 2", "2 cells", f"found {len(cells)}", "line 4")
    assert len(read(path, keep_going=True).data) == 2


def test_quotes_that_do_not_pair_are_refused_in_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"a" b,0\nc,1\n')
    refuses(path, "RFC 4180", "quoted")


def test_quotes_that_do_not_pair_are_text_in_tsv(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"a" b\t0\n"c\t1\n')
    source = read(path)
    assert source.data.inputs.tolist() == ['"a" b', '"c']
    assert any("quoting" in note for note in source.notes)


def test_texts_may_span_lines(tmp_path):
    texts = ["a\nb", "c\r\nd", "e\rf", 'g"h', "i,j"]
    path = make_delimited(tmp_path / "a.csv", rows(*zip(texts, [0, 1, 0, 1, 0], strict=True)))
    assert read(path).data.inputs.tolist() == texts


def test_shards_need_the_same_columns(tmp_path):
    make_delimited(tmp_path / "a.csv", rows(("a", 0)))
    make_delimited(tmp_path / "b.csv", rows(("b", 1)))
    assert read(tmp_path).names == ("a.csv row 0", "b.csv row 0")
    make_delimited(tmp_path / "b.csv", [["words", "label"], ["b", 1]])
    with pytest.raises(DataError, match=r"'b.csv'.*'text', 'label'.*'words', 'label'"):
        read(tmp_path)


BAD_LINES = {
    "{": "broken JSON", "[1]": "one JSON object", "3": "one JSON object", '{"text": NaN}': "NaN",
    '{"a": 1, "a": 2}': "more than once", "[" * 100_000: "broken JSON", '{"x": 1e999}': "1e999",
    '{"label": 1}': "expected a text", '{"text": "b"}': "expected a label",
    '{"text": 3, "label": 1}': "expected a text", '{"text": "b", "label": true}': "whole number",
    '{"text": "b", "label": [1]}': "whole number", '{"text": "\\ud800", "label": 1}': "UTF-8",
    '{"text": null, "label": 1}': "expected a text",
    '{"text": "b", "label": null}': "a label, found none",
    '{"x": ' + "9" * 5000 + "}": "broken JSON",
}  # fmt: skip


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:30])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "a.jsonl"
    good = [json.dumps({"text": t, "label": n}) for t, n in (("a", 0), ("c", 1), ("d", 1))]
    path.write_text("\n".join([good[0], "", line, *good[1:]]))
    refuses(path, "a.jsonl row 1", BAD_LINES[line])
    source = read(path, keep_going=True)
    assert source.data.inputs.tolist() == ["a", "c", "d"]
    assert source.names[1] == "a.jsonl row 2"
    assert [each.name for each in source.rejected] == ["a.jsonl row 1"]


def test_splits_are_told_apart(tmp_path):
    make_delimited(tmp_path / "reviews_train.csv")
    make_delimited(tmp_path / "reviews_dev.csv", rows(("a", 0), ("b", 1)))
    assert len(read(tmp_path).data) == 6
    assert len(read(tmp_path, split="validation").data) == 2
