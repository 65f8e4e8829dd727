import bz2
import gzip
import warnings

import numpy as np
import pytest

from compactflow.tables import Dialect, TableError, column_names, formats, read_table
from compactflow.text import Note


@pytest.fixture
def read(tmp_path):
    """Read text as a table, and return its columns and what was said."""

    def run(text, name="table.csv", **dialect):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = read_table(path, dialect=Dialect(**dialect))
        assert all(note.category is Note for note in caught)
        return table.to_pydict(), "; ".join(str(note.message) for note in caught)

    return run


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("a,b\n1.5,2\n3,4\n", "table.csv", ""),
        ("a;b\n1.5;2\n3;4\n", "table.csv", "separator semicolon"),
        ("a;b\n1,5;2\n3;4\n", "table.csv", "separator semicolon, decimal comma"),
        ("a\tb\n1,5\t2\n3\t4\n", "table.tsv", "decimal comma"),
        ("a\tb\n1.5\t2\n3\t4\n", "table.csv", "separator tab"),
        ("a\tb\n1.5\t2\n3\t4\n", "table.tsv", ""),
        ("a|b\n1.5|2\n3|4\n", "table.csv", "separator bar"),
        ("a b\n1.5 2\n3 4\n", "table.txt", "separator space"),
        ('"a","b"\n"1,5","2"\n"3","4"\n', "table.csv", "decimal comma"),
        ("\r\na,b\r\n1.5,2\r\n3,4", "table.csv", ""),
    ],
)
def test_separator_and_decimal_mark_are_found_and_said(read, text, name, said):
    table, notes = read(text, name)
    assert table == {"a": [1.5, 3.0], "b": [2.0, 4.0]}
    assert said in notes
    assert bool(said) == bool(notes)


def test_one_column_of_decimal_commas(read):
    assert read("a\n1,5\n2,25\n")[0] == {"a": [1.5, 2.25]}


def test_what_is_given_is_not_said_and_wins(read):
    assert read("a;b\n1,5;2\n", separator="semicolon", decimal=",") == ({"a": [1.5], "b": [2]}, "")
    with pytest.raises(TableError, match="column 'a;b', row 1 is '1;2'"):
        read("a;b\n1;2\n", separator=",")


@pytest.mark.parametrize("cells", ["1,234;5\n-12,345;6", "1,234,567;5\n2;6"])
def test_commas_that_may_part_thousands_are_not_guessed(read, cells):
    with pytest.raises(TableError, match=r"column 'a', row 1 is .*parts? thousands"):
        read(f"a;b\n{cells}\n")


def test_a_point_in_a_column_with_decimal_commas_is_refused(read):
    with pytest.raises(TableError, match=r"column 'a', row 2 is '1\.234'"):
        read("a;b\n1,5;2\n1.234;4\n", decimal=",")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "utf-8"])
def test_encodings_are_found(read, encoding):
    table, notes = read("Größe,T °C\n1,2\n".encode(encoding))
    assert table == {"Größe": [1.0], "T °C": [2.0]}
    assert bool(notes) == (encoding in ("cp1252", "utf-16"))


def test_an_encoding_is_given(read):
    text = "回転数,b\n1,2\n".encode("shift_jis")
    assert read(text, encoding="shift_jis") == ({"回転数": [1.0], "b": [2.0]}, "")
    with pytest.raises(TableError, match=r"table\.csv cannot be read.*--encoding"):
        read("Größe,b\n1,2\n".encode("cp1252"), encoding="utf-8")
    with pytest.raises(TableError, match=r"--encoding must be .* got 'klingon'"):
        Dialect(encoding="klingon")
    with pytest.raises(TableError, match=r"--encoding must be .* got 'base64'"):
        Dialect(encoding="base64")


@pytest.mark.parametrize("name", ["table.csv.gz", "TABLE.CSV.GZ", "table.csv"])
def test_compressed_text_by_its_name_or_not(read, name):
    assert read(gzip.compress(b"a,b\n1,2\n"), name)[0] == {"a": [1.0], "b": [2.0]}


def test_other_compressions(read):
    assert read(bz2.compress(b"a\tb\n1\t2\n"), "table.tsv.bz2") == ({"a": [1.0], "b": [2.0]}, "")
    with pytest.raises(TableError, match=r"table\.csv\.gz cannot be read: .*[Tt]runcated"):
        read(gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-15], "table.csv.gz")
    with pytest.raises(TableError, match=r"must end in \.csv"):
        read(b"", "table.parquet.gz")


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"PK\x03\x04", r"\.xlsx; save it as CSV"),
        (b"PAR1", r"\.parquet; rename"),
        (b"\0a", "zero"),
    ],
)
def test_what_is_no_text_is_said(read, start, said):
    with pytest.raises(TableError, match=rf"table\.csv.*{said}"):
        read(start + b"abc\n")


@pytest.mark.parametrize("first", ["0.5,-1,2", "3,1,2", "5,5,5", "true,2,1", "-1,0,1"])
def test_a_first_line_of_data_is_a_row_and_that_is_said(read, first):
    table, notes = read(f"{first}\n1.5,3,4\n")
    assert list(table) == ["x0", "x1", "x2"]
    assert [column[1] for column in table.values()] == [1.5, 3, 4]
    assert "read as a row" in notes
    assert "--header" in notes


@pytest.mark.parametrize("first", ["1,nan,1", "run-1,0.5,0.5", "0.5,NA,0.1"])
def test_a_first_line_with_a_gap_is_a_row_and_so_refused(read, first):
    with pytest.raises(TableError, match=r"column 'x[01]', row 1 is"):
        read(f"{first}\n{'run-2' if 'run' in first else '7'},3,4\n")


@pytest.mark.parametrize("first", ["2019,2020,2021", "400.5,401,401.5", "1,2,3", "9,8,7"])
def test_a_first_line_that_may_be_either_is_asked_about(read, first):
    text = f"{first}\n1.5,2.5,0.5\n"
    with pytest.raises(TableError, match="--header if it holds names, --no-header if it is a row"):
        read(text)
    assert list(read(text, header=True)[0]) == first.split(",")
    table, notes = read(text, header=False)
    assert [column[0] for column in table.values()] == [float(cell) for cell in first.split(",")]
    assert notes == ""


@pytest.mark.parametrize("names", ["a,b", "id,2019", ",0,1", "0.5,b"])
def test_names_are_names(tmp_path, names):
    path = tmp_path / "table.csv"
    path.write_text(names + "\n" + ",".join("7" for _ in names.split(",")) + "\n")
    assert column_names(path) == names.split(",")


def test_the_names_that_pandas_gives_to_an_array(read):
    table, notes = read("0,1,2\n0.5,3,4\n")
    assert list(table) == ["0", "1", "2"]
    assert "read as names" in notes
    assert "--no-header" in notes


def test_a_line_of_spreadsheets_that_tells_the_separator(read):
    for start in ("sep=;\n", '"sep=;"\r\n', "\ufeffsep=;\n"):
        table, notes = read(f"{start}a;b\n1,5;2\n")
        assert table == {"a": [1.5], "b": [2.0]}
        assert "separator semicolon" in notes
    assert list(read("sep=,\n1.5,-2\n3,1\n")[0]) == ["x0", "x1"]


def test_a_wrong_separator_is_told(read):
    with pytest.raises(TableError, match="if ';' separates cells, give --sep ';'"):
        read("a;b\n1;2\n", separator="comma")
    with pytest.raises(TableError, match=r"Expected 2 columns, got 3.*--sep says"):
        read("a,b\n1,2\n1,2,3\n")


def test_a_wide_table(read, monkeypatch):
    monkeypatch.setattr(formats, "_HEAD_BYTES", 1000)
    names = ";".join(f"column number {i}" for i in range(2000))
    values = np.arange(2000) / 8
    row = ";".join(f"{value}".replace(".", ",") for value in values)
    table, _ = read(f"{names}\n{row}\n{row}\n")
    assert [column[1] for column in table.values()] == values.tolist()


@pytest.mark.parametrize("separator", ["ab", '"', "\n"])
def test_a_separator_is_one_character(separator):
    with pytest.raises(TableError, match="--sep must be one character"):
        Dialect(separator=separator)
    with pytest.raises(TableError, match=r"--decimal must be '\.' or ',', got ';'"):
        Dialect(decimal=";")
