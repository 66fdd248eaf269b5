"""A run's settings by short names, and which of them differ from the defaults."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gans.models import DLSGAN
from lightning_gans.ranges import annotations_of
from lightning_gans.runs.settings import UNKNOWN, Setting, changed, differences, settings, shown

OWN = "lightning_gans."


def part(path: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": arguments}


def model(**changes: Any) -> dict[str, Any]:
    return part(f"{OWN}models.DLSGAN", **{"latent_dim": 32, **changes})


def changed_in(config: dict[str, Any]) -> dict[str, Setting]:
    return changed(settings(config))


def test_options_have_the_names_that_are_typed() -> None:
    optimizer = part(f"{OWN}optimizers.AdamW", lr=0.5, betas=[0.0, 0.99])
    found = settings(
        {
            "seed_everything": 3,
            "trainer": {"val_check_interval": 7, "default_root_dir": "/elsewhere"},
            "model": model(optimizer=optimizer),
            "ema": {"decay": 0.9},
        }
    )
    assert found["optimizer.lr"].value == 0.5
    assert found["evaluation.every"] == Setting(7, 1000)
    assert found["model"].value == "DLSGAN"
    assert list(found)[:2] == ["model", "model.latent_dim"]
    assert not [name for name in found if "class_path" in name or "root_dir" in name]


def test_the_defaults_are_those_of_the_constructor() -> None:
    signature, _ = annotations_of(DLSGAN)
    plain = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.default, (int, float, str, bool))
    }
    assert len(plain) >= 3
    assert set(changed_in({"model": model(**plain)})) <= {"model", "model.latent_dim"}
    for name, value in plain.items():
        another = "other" if isinstance(value, str) else value + 1
        other = {"model": model(**{**plain, name: another})}
        assert f"model.{name}" in changed_in(other)


def test_a_part_that_is_the_default_is_no_difference_and_its_changed_argument_is_one() -> None:
    normal = part(f"{OWN}priors.Normal", mean=0.0, std=1.0)
    scale = part(f"{OWN}priors.DynamicScale", base=normal, decay=0.999)
    assert not [name for name in changed_in({"model": model(prior=scale)}) if "prior" in name]
    scale["init_args"]["decay"] = 0.5
    assert changed_in({"model": model(prior=scale)})["model.prior.decay"] == Setting(0.5, 0.999)
    other = part(f"{OWN}priors.FixedScale")
    assert changed_in({"model": model(prior=other)})["model.prior"] == Setting(
        "FixedScale", "DynamicScale"
    )


def test_the_trainers_defaults_are_those_of_the_command_then_lightnings() -> None:
    same = {"max_steps": 20000, "max_epochs": -1, "accelerator": "auto", "max_time": None}
    assert not changed_in({"trainer": same})
    found = changed_in({"trainer": {**same, "max_steps": 5, "precision": "bf16-true"}})
    assert found == {
        "trainer.max_steps": Setting(5, 20000),
        "trainer.precision": Setting("bf16-true", None),
    }


def test_what_must_be_given_and_what_is_not_of_this_package_is_listed() -> None:
    own = {"class_path": "my.models.Own", "init_args": {"depth": 3}}
    found = changed(
        settings({"model": own, "data": part(f"{OWN}data.Folder", root="photos", resolution=64)})
    )
    assert {name: option.value for name, option in found.items()} == {
        "model": "Own",
        "model.depth": 3,
        "data": "Folder",
        "data.root": "photos",
        "data.resolution": 64,
    }
    assert found["model.depth"].default is UNKNOWN


@pytest.mark.parametrize(
    "config",
    [
        {"model": None, "data": [1, 2], "trainer": 5, "ema": "x"},
        {"model": {"class_path": "../../etc.passwd", "init_args": [3]}},
        {"model": {"class_path": ".", "init_args": {"a": {"class_path": 3}}}},
        {"model": {"class_path": "lightning_gans.models.DLSGAN"}},
        {"trainer": {"logger": [3, None, {"class_path": None}], "callbacks": [{}]}},
    ],
)
def test_a_config_that_somebody_damaged_is_read_as_far_as_it_goes(config: dict[str, Any]) -> None:
    for name, option in settings(config).items():
        assert "\n" not in name + shown(option.value)


def test_a_long_value_with_control_characters_is_shown_on_one_short_line() -> None:
    text = shown(["\x1b[31m\n" * 100, None])
    assert text.startswith("[\\x1b[31m \\x1b")
    assert len(text) == 80


def test_runs_differ_in_what_is_set_and_not_in_what_only_one_class_has() -> None:
    a = settings({"seed_everything": 0, "model": model(r1=0.1)})
    b = settings({"seed_everything": 1, "model": model(r1=0.3)})
    found = differences([a, b])
    assert {name: [v and v.value for v in values] for name, values in found.items()} == {
        "model.r1": [0.1, 0.3],
        "seed_everything": [0, 1],
    }
    assert differences([a, a]) == {}
    normal = part(f"{OWN}priors.Normal", mean=0.0, std=1.0)
    scaled = part(f"{OWN}priors.DynamicScale", base=normal, decay=0.5)
    c = settings({"seed_everything": 0, "model": model(r1=0.1, prior=normal)})
    d = settings({"seed_everything": 0, "model": model(r1=0.1, prior=scaled)})
    # decay is set; mean and std of the first have their defaults
    assert list(differences([c, d])) == ["model.prior", "model.prior.decay"]
