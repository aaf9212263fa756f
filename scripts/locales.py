"""Write the pack's texts in every language to locales/, from the nodes' schemas and scripts/translations/<language>.json.

    python scripts/locales.py           write all files; exit code 1 when a text has no translation, 3 without an environment
    python scripts/locales.py --missing only print what has no translation, as JSON to be filled in

ComfyUI serves the files at /i18n and its editor puts them in place of the schemas' English. A translation file holds the "names" of inputs and
outputs, the menu's "categories" that ComfyUI itself does not have, and the "sentences" of titles, descriptions and tooltips, keyed by the English
text: a text that changes in a schema loses its translation, and unused translations are reported. `{4Real Sampler}` in a translation stands for
that node's translated title. The "glossary" fixes how terms are translated; a test checks it. Read docs/translations.md first.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from environment import PACK, TOOLS, enter_or_stop

LANGUAGES = ("zh", "ja", "ko")
HOSTS_OWN_CATEGORIES = ("model", "sampling", "training")
SPACE_BETWEEN_SENTENCES = {"ko": " "}
TRANSLATIONS, LOCALES = PACK / "scripts" / "translations", PACK / "locales"
SENTENCE_END = re.compile(r"(?<=[^.]\.) +")
Texts = dict[str, Any]


def english(object_info: dict[str, Any]) -> Texts:
    """The nodeDefs.json of the schemas, as ComfyUI's editor looks texts up. object_info: /object_info of our nodes."""
    return {name: _node(info) for name, info in object_info.items()}


def categories(object_info: dict[str, Any]) -> Texts:
    """The main.json of our menu's categories."""
    parts = {part: part for info in object_info.values() for part in info["category"].split("/")[1:]}
    return {"nodeCategories": {part: part for part in parts if part not in HOSTS_OWN_CATEGORIES}}


def _node(info: dict[str, Any]) -> Texts:
    names, tips = info["output_name"], info.get("output_tooltips") or [None] * len(info["output_name"])
    outputs = {
        str(slot): ({} if name == kind else {"name": name}) | ({"tooltip": tip} if tip else {})
        for slot, (name, kind, tip) in enumerate(zip(names, info["output"], tips, strict=True))
    }
    texts = {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": dict(_inputs(info["input"])),
    }
    return texts | ({"outputs": outputs} if outputs else {})


def _inputs(sections: dict[str, Any], group: str = "") -> Iterator[tuple[str, Texts]]:
    """(key, texts) of inputs; those of a DynamicCombo are `combo_input`, the sockets of an Autogrow `group_socket0` and so on."""
    for section in ("required", "optional"):
        for name, (kind, *more) in sections.get(section, {}).items():
            options = more[0] if more else {}
            yield group + name, {"name": name} | _tooltip(options)
            for choice in options.get("options", []) if kind == "COMFY_DYNAMICCOMBO_V3" else []:
                yield from _inputs(choice["inputs"], f"{group}{name}_")
            if kind == "COMFY_AUTOGROW_V3":
                template = options["template"]
                [(_, socket)] = [pair for part in template["input"].values() for pair in part.items()]
                for number in range(template["max"]):
                    yield f"{group}{name}_{template['prefix']}{number}", _tooltip(socket[1])


def _tooltip(options: Texts) -> Texts:
    return {"tooltip": options["tooltip"]} if options.get("tooltip") else {}


class Translator:
    """One language's tables; remembers what it lacked and what it used."""

    def __init__(self, language: str, tables: dict[str, dict[str, str]]):
        self.tables, self.between = tables, SPACE_BETWEEN_SENTENCES.get(language, "")
        self.missing: dict[str, list[str]] = {"names": [], "categories": [], "sentences": []}
        self.used: set[tuple[str, str]] = set()

    def files(self, object_info: dict[str, Any]) -> dict[str, Texts]:
        """nodeDefs.json and main.json in this language."""
        groups = {
            key: self._find("categories", text) for key, text in categories(object_info)["nodeCategories"].items()
        }
        return {"nodeDefs.json": self.translated(english(object_info)), "main.json": {"nodeCategories": groups}}

    def translated(self, value: Texts | str, key: str = "") -> Texts | str:
        """English texts, or one of them under its key, in this language; English stays where there is no translation."""
        if isinstance(value, dict):
            return {name: self.translated(part, name) for name, part in value.items()}
        if key == "name":
            return self._find("names", value)
        return self.between.join(self._find("sentences", sentence) for sentence in SENTENCE_END.split(value))

    def unused(self) -> list[str]:
        return [text for table in self.missing for text in self.tables[table] if (table, text) not in self.used]

    def _find(self, table: str, text: str) -> str:
        self.used.add((table, text))
        found = self.tables[table].get(text, "")
        if not found and text not in self.missing[table]:
            self.missing[table].append(text)
        return re.sub(r"\{(.+?)\}", lambda title: self._find("sentences", title[1]), found) or text


def translator(language: str) -> Translator:
    return Translator(language, json.loads((TRANSLATIONS / f"{language}.json").read_text(encoding="utf-8")))


def as_file(texts: Texts) -> str:
    return json.dumps(texts, ensure_ascii=False, indent=1) + "\n"


def main() -> int:
    environment = enter_or_stop(TOOLS)
    from comfyui import running_host

    with running_host(environment) as host:
        nodes = {name: info for name, info in host.object_info().items() if name.startswith("FourReal")}
    files, incomplete = {"en": {"nodeDefs.json": english(nodes)}}, {}
    for language in LANGUAGES:
        into = translator(language)
        files[language] = into.files(nodes)
        lacking = {table: texts for table, texts in (into.missing | {"unused": into.unused()}).items() if texts}
        incomplete |= {language: lacking} if lacking else {}
    if incomplete:
        print(json.dumps(incomplete, ensure_ascii=False, indent=1))
    for language, contents in files.items() if "--missing" not in sys.argv else ():
        (LOCALES / language).mkdir(parents=True, exist_ok=True)
        for name, texts in contents.items():
            (LOCALES / language / name).write_text(as_file(texts), encoding="utf-8")
    return int(bool(incomplete))


if __name__ == "__main__":
    sys.exit(main())
