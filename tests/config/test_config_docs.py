"""docs/config.md is what the models say."""

from pathlib import Path

from kaimesh.config import App
from kaimesh.config.document import attributes, markdown


def test_the_document_is_current() -> None:
    assert Path("docs/config.md").read_text() == markdown(), "run: python -m kaimesh.config > docs/config.md"


def test_every_key_has_a_meaning_and_a_row() -> None:
    text = markdown()
    for key, field in App.model_fields.items():
        assert field.description, key
        assert f"| `{key}` |" in text


class Example:
    """A class with comments in all places."""

    # Above a group
    first = 1  # beside
    second: str = "#no"
    third = (
        1,  # inside
        2,
    )  # after the end

    def method(self) -> None:
        inner = 1  # not an attribute
        del inner


def test_comments_are_found_where_people_write_them() -> None:
    assert [tuple(attribute) for attribute in attributes(Example)] == [
        ("first", "Above a group", "beside"),
        ("second", "", ""),
        ("third", "", "inside after the end"),
    ]
