import pytest

from jaxanon import cli


def test_list_names_source_and_licence(capsys):
    assert cli.main(["donors", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all("CC0" in line or "MIT" in line for line in lines[:-1])


def test_show_draws_a_sheet_and_replaces_nothing_unasked(tmp_path):
    sheet = tmp_path / "sheet.png"
    assert cli.main(["donors", "show", "-o", str(sheet)]) == 0
    content = sheet.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert cli.main(["donors", "show", "-o", str(sheet)]) == 2
    assert sheet.read_bytes() == content


@pytest.mark.parametrize("statement, status", [(" ", 2), ("I agree.", 1)])
def test_make_refuses_without_a_statement_or_a_photo(tmp_path, statement, status):
    out = tmp_path / "own.bank"
    photo = tmp_path / "nobody.jpg"
    command = ["donors", "make", str(photo), "-o", str(out), "--statement", statement]
    assert cli.main(command) == status
    assert not out.exists()
