from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.contracts.configs import MethodConfig
from bench.contracts.errors import PluginBroken, SpecError
from tests.command_line import bench


def test_every_listed_method_is_read_as_text_with_a_title_and_a_family() -> None:
    cards = registry.describe(registry.METHODS)
    assert {"mim", "mae3d", "unet3d_scratch", "unetr_scratch", "swin_unetr_scratch"} <= {card["name"] for card in cards}
    assert all(card["title"] and card["family"] and card["paper"] for card in cards)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'mae3d'") as refused:
        registry.known(registry.METHODS, "mae3")
    assert "bench list methods" in refused.value.remedy


def test_a_name_that_may_be_a_task_or_a_corpus_is_sought_among_both() -> None:
    assert registry.task_or_corpus("msd04") == "msd04" and registry.task_or_corpus("mim-1k") == "mim-1k"
    error = bench("data", "check", "mim1k", "--json").error
    assert error["message"] == "No task or corpus 'mim1k'. Did you mean 'mim-1k'?"
    assert error["remedy"] == "All of them: bench list tasks, bench list corpora."


def test_a_file_without_a_card_is_no_method(tmp_path: Path) -> None:
    shelf = registry.Shelf("method", "methods", "METHOD", "bench.methods")
    assert "parts" not in registry.names(shelf)


def test_a_new_file_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        'import torch\n\nMETHOD = MethodCard(title="Mine", family="masked", needs={"volume"}, variants={"a": f()})\n'
    )
    monkeypatch.setattr(registry, "package_folder", lambda package: tmp_path)
    shelf = registry.Shelf("method", "elsewhere", "METHOD", "bench.none")
    assert registry.describe(shelf) == [
        {"name": "mine", "title": "Mine", "family": "masked", "needs": ["volume"], "variants": ["a"]}
    ]


def test_hidden_files_that_editors_and_other_systems_leave_are_no_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text('import torch\n\nMETHOD = MethodCard(title="Mine")\n')
    (tmp_path / "._mine.py").write_bytes(b"\x00\x05\x16\x07\xa3")
    (tmp_path / ".#mine.py").symlink_to("someone@host.123")
    monkeypatch.setattr(registry, "package_folder", lambda package: tmp_path)
    assert registry.names(registry.Shelf("method", "elsewhere3", "METHOD", "bench.none")) == ("mine",)


def test_a_card_that_is_no_python_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn.py").write_text("x = 1\nMETHOD = MethodCard(title=\n")
    monkeypatch.setattr(registry, "package_folder", lambda package: tmp_path)
    with pytest.raises(PluginBroken, match=r"torn\.py"):
        registry.describe(registry.Shelf("method", "elsewhere2", "METHOD", "bench.none"))


def test_a_card_saved_in_another_encoding_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "latin.py").write_bytes('"""Für Bäuche."""\nMETHOD = MethodCard(title="Mine")\n'.encode("latin-1"))
    monkeypatch.setattr(registry, "package_folder", lambda package: tmp_path)
    with pytest.raises(PluginBroken, match=r"latin\.py cannot be read.*UTF-8"):
        registry.names(registry.Shelf("method", "elsewhere4", "METHOD", "bench.none"))


def test_a_file_of_the_name_asked_for_that_closes_with_no_card_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("card = MethodCard(title='Mine')\n")
    monkeypatch.setattr(registry, "package_folder", lambda package: tmp_path)
    with pytest.raises(PluginBroken, match=r"mine\.py holds no method: no line of it begins with `METHOD = `"):
        registry.known(registry.Shelf("method", "elsewhere5", "METHOD", "bench.none"), "mine")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("METHOD = MethodCard(title='Mine')", "NameError: name 'MethodCard' is not defined (wrong_0.py, line 1)"),
        (
            "from bench.contracts.cards import MethodCard\nMETHOD = MethodCard(titel='Mine')",
            "'titel' (wrong_1.py, line 2)",
        ),
        (
            "from bench.contracts.configs import MethodConfig\nTINY = MethodConfig(lr='3e-3')\nMETHOD = 1",
            "'str' and 'int' (wrong_2.py, line 2)",
        ),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass Mine:\n    widths: list = []\nMETHOD = 1",
            "use default_factory (wrong_3.py, line 2)",
        ),
        ("x = (\nMETHOD = 1", "SyntaxError: "),
        ("weights = open('none.pt')\nMETHOD = 1", "FileNotFoundError: "),
    ],
)
def test_a_card_that_fails_where_it_is_made_is_told_with_its_line(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name = f"wrong_{request.node.callspec.indices['text']}"
    (tmp_path / f"{name}.py").write_text(f"{text}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_registered", {})
    registry.register(registry.METHODS, name, name)
    try:
        with pytest.raises(PluginBroken) as caught:
            registry.method(name)
    finally:
        monkeypatch.undo()
        registry._foreign.cache_clear()
    assert told in caught.value.message and caught.value.remedy == f"See {name}."


def test_a_stranger_called_like_one_of_our_packages_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strangers").mkdir()
    (tmp_path / "strangers" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginBroken, match="comes first on the path"):
        registry.package_folder("strangers")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"variants": {"colder": {"mask_ration": 0.5}}}, "`variants` changes 'mask_ration' for 'colder'.*mean 'mask_ratio'"),
        ({"finetune": {"tiny": {"lrr": 0.5}}}, "`finetune` changes 'lrr' for 'tiny'"),
        ({"finetune": {"tiny segmentation": {"max_tokens": 5}}}, "`finetune` changes 'max_tokens' for 'tiny segmentation'"),
        ({"finetune": {"tinny": {"lr": 0.5}}}, "`finetune` speaks of 'tinny', which is no preset"),
        ({"finetune": {"tiny segment": {"lr": 0.5}}}, "`finetune` speaks of 'tiny segment'"),
        ({"on_corpus": {"mim-1k": {"step": 3}}}, "`on_corpus` changes 'step' for 'mim-1k'"),
        ({"needs": "volume"}, "`needs` is 'volume', asked for a set"),
        ({"dims": 3}, "`dims` is 3, asked for a set"),
        ({"corpus": "none"}, "names a `build` and no `corpus`"),
        ({"build": None}, "names the corpus 'mim-1k' and no `build`"),
        ({"tiny": MethodConfig}, "`tiny` holds the class MethodConfig, asked for a config"),
        ({"tiny": {"steps": 3}}, "`tiny` holds a value of type int, asked for a config"),
        ({"tiny": {"first": MethodConfig(), "second": MethodConfig()}}, "different phases: pretrain, pretrain, first/second"),
    ],
)  # fmt: skip
def test_a_card_that_is_half_told_or_that_changes_what_no_config_has_is_refused(
    changes: dict[str, Any], told: str
) -> None:
    """A misspelt variant ran as its method, under a row of its own name; a card that forgot its corpus ran from scratch."""
    with pytest.raises(PluginBroken, match=told):
        replace(registry.method("mae3d"), **changes)


def test_a_card_may_change_what_the_recipe_of_a_kind_alone_has() -> None:
    card = replace(registry.method("mg3d"), finetune={"small report": {"max_tokens": 5, "lr": 0.1}})
    assert card.recipe_changes("small", "report") == {"max_tokens": 5, "lr": 0.1}
