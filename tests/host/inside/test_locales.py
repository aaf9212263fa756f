"""Every node, input, output and tooltip has its text in every language, and no file holds anything else."""

import json
import re
from typing import Any

import pytest

from locales import LANGUAGES, LOCALES, as_file, english, translator

UPDATE = "run python scripts/locales.py, after adding translations to scripts/translations"


@pytest.fixture(scope="module")
def schemas(comfy_inside) -> dict[str, Any]:
    """As /object_info gives them, through JSON."""
    nodes = {
        name: kind.GET_NODE_INFO_V1() for name, kind in comfy_inside.node_classes.items() if name.startswith("FourReal")
    }
    return json.loads(json.dumps(nodes))


def test_the_english_file_is_that_of_the_schemas(schemas):
    assert (LOCALES / "en" / "nodeDefs.json").read_text(encoding="utf-8") == as_file(english(schemas)), UPDATE


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_lacks_a_translation_and_none_is_left_over(schemas, language):
    into = translator(language)
    files = into.files(schemas)
    assert not any(into.missing.values()), f"{into.missing}: {UPDATE}"
    assert not into.unused(), (
        f"{into.unused()} stand for nothing any more: take them out of scripts/translations/{language}.json"
    )
    for name, texts in files.items():
        assert (LOCALES / language / name).read_text(encoding="utf-8") == as_file(texts), UPDATE


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_titles_names_and_descriptions_have_no_signs_that_the_editors_messages_are_made_of(language):
    """vue-i18n reads these texts as messages, where @ { } and | mean something; tooltips it takes as they are."""

    def texts(value, key=""):
        if isinstance(value, dict):
            return [text for name, part in value.items() for text in texts(part, name)]
        return [] if key == "tooltip" else [value]

    nodes = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert [text for text in texts(nodes) if re.search(r"[@{}|]", text)] == []
