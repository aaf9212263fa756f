"""The pack's texts in other languages, as files: how they are made from schemas, and that they keep to their glossaries."""

import json
import re

import pytest

from locales import LANGUAGES, LOCALES, TRANSLATIONS, Translator, categories, english

TITLE = "4Real Thing"
SOCKET = ["VIDEO", {"tooltip": "One view."}]
LAYOUT = [{"key": "own", "inputs": {"required": {"across": ["INT", {"tooltip": "How many."}]}}}]
SCHEMA = {
    "FourRealThing": {
        "display_name": TITLE,
        "description": "It makes things. For 4Real Thing.",
        "category": "4Real/sampling/toys",
        "input": {
            "required": {"layout": ["COMFY_DYNAMICCOMBO_V3", {"tooltip": "Which.", "options": LAYOUT}]},
            "optional": {
                "videos": [
                    "COMFY_AUTOGROW_V3",
                    {"template": {"input": {"required": {"video": SOCKET}}, "prefix": "video", "max": 2}},
                ]
            },
        },
        "output": ["IMAGE", "FLOAT"],
        "output_name": ["IMAGE", "rate"],
        "output_tooltips": ["A picture.", None],
    }
}
FRENCH = {
    "names": {"layout": "plan", "across": "en travers", "videos": "vidéos", "rate": "cadence"},
    "categories": {"toys": "jouets"},
    "sentences": {
        TITLE: "4Real Chose",
        "It makes things.": "Il fait des choses.",
        "For 4Real Thing.": "Pour {4Real Thing}.",
        "Which.": "Lequel.",
        "How many.": "Combien.",
        "One view.": "Une vue.",
        "A picture.": "Une image.",
    },
}


def test_keys_are_those_that_the_editor_looks_up():
    thing = english(SCHEMA)["FourRealThing"]
    assert list(thing["inputs"]) == ["layout", "layout_across", "videos", "videos_video0", "videos_video1"]
    assert thing["inputs"]["layout_across"] == {"name": "across", "tooltip": "How many."}
    assert thing["inputs"]["videos_video1"] == {"tooltip": "One view."}  # the editor takes the socket's own name
    assert thing["outputs"] == {
        "0": {"tooltip": "A picture."},
        "1": {"name": "rate"},
    }  # a type's name is the host's to translate
    assert categories(SCHEMA) == {"nodeCategories": {"toys": "toys"}}


def test_texts_are_translated_sentence_by_sentence_and_titles_stay_one():
    into = Translator("fr", FRENCH)
    files = into.files(SCHEMA)
    thing = files["nodeDefs.json"]["FourRealThing"]
    assert thing["description"] == "Il fait des choses.Pour 4Real Chose."
    assert thing["inputs"]["layout_across"] == {"name": "en travers", "tooltip": "Combien."}
    assert files["main.json"] == {"nodeCategories": {"toys": "jouets"}}
    assert not any(into.missing.values()) and not into.unused()


def test_what_lacks_and_what_is_left_over_is_told():
    stale = FRENCH | {"sentences": {**FRENCH["sentences"], "Gone.": "Parti."}, "names": {"layout": "plan"}}
    into = Translator("fr", stale)
    thing = into.files(SCHEMA)["nodeDefs.json"]["FourRealThing"]
    assert into.missing == {"names": ["across", "videos", "rate"], "categories": [], "sentences": []}
    assert into.unused() == ["Gone."]
    assert thing["inputs"]["videos"] == {"name": "videos"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_to_their_glossary(language):
    tables = json.loads((TRANSLATIONS / f"{language}.json").read_text(encoding="utf-8"))
    titles = [text for text in tables["sentences"] if text.startswith("4Real ") and not text.endswith(".")]
    wrong = []
    for text, translation in tables["sentences"].items():
        said = re.sub(r"[\w-]+( [\w-]+)*:", "", text)  # the names of options stay English
        for title in () if text in titles else sorted(titles, key=len, reverse=True):
            said = said.replace(title, "").replace(title.removeprefix("4Real "), "")
        wrong += [
            (term, text, translation)
            for term, wanted in tables["glossary"].items()
            if re.search(rf"(?<![\w-]){term}s?(?![\w-])", said, re.IGNORECASE) and wanted not in translation
        ]
    assert not wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_of_options_stay_as_the_nodes_show_them(language):
    sentences = json.loads((TRANSLATIONS / f"{language}.json").read_text(encoding="utf-8"))["sentences"]
    options = (
        "auto",
        "hold",
        "frame",
        "native",
        "soft",
        "hard",
        "fused",
        "sequential",
        "off",
        "crop",
        "even",
        "view by view",
        "diagonal",
    )
    for text, translation in sentences.items():
        named = [option for option in options if re.search(rf"^{option}:", text)]
        assert all(option in translation for option in named), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_titles_keep_4real_and_differ(language):
    nodes = json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))
    titles = [node["display_name"] for node in nodes.values()]
    assert all(title.startswith("4Real ") for title in titles) and len(set(titles)) == len(titles)
