"""Docstrings are read in the form that tools render, and in the older one."""

from mithridate.core.docstrings import parsed

GOOGLE = """Judge by the distance.

    s = |x - m|, larger is more suspicious.
      m = the mean

    Attributes:
        level: of the test,
            two-sided.
        row, column: Of the top left pixel: negative from the end.

    Raises:
        MethodError: level is wrong.
    """
RUNNING = """Judge by the distance.

    s = |x - m|.
    level: of the test, i.e. its size; row, column: of the top left pixel. More words follow.
    last: see above.
    """


def test_sections_are_read_entry_by_entry():
    read = parsed(GOOGLE)
    assert read.summary == "Judge by the distance."
    assert read.prose == "s = |x - m|, larger is more suspicious.\n  m = the mean"
    assert read.meanings == {
        "level": "Of the test, two-sided.",
        "row": "Of the top left pixel: negative from the end.",
        "column": "Of the top left pixel: negative from the end.",
    }


def test_running_text_is_read_and_taken_out_of_the_rest():
    read = parsed(RUNNING)
    assert read.prose == "s = |x - m|. More words follow."
    assert read.meanings == {
        "level": "Of the test, i.e. its size.", "row": "Of the top left pixel.",
        "column": "Of the top left pixel.", "last": "See above.",
    }  # fmt: skip


def test_text_after_a_section_is_prose_again():
    read = parsed("One.\n\nArgs:\n    a: first.\n\nMore about it.\n")
    assert (read.prose, read.meanings) == ("More about it.", {"a": "First."})


def test_a_single_line_has_nothing_else():
    assert parsed("One line.").prose == "" and parsed("").summary == ""
