"""From YAML to typed values, and from names to components; every mistake gets an answer.

YAML owns the defaults. A frozen dataclass beside its owner, or a `build(...)` signature,
owns the names and types. Nothing here instantiates what a config names by import path.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from braintumor.errors import ConfigError
from braintumor.places import as_path

T = TypeVar("T")


def config_dir() -> Path:
    """The folder of YAML files: in the wheel beside this file, in a checkout at its root."""
    packaged = Path(__file__).parent / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def options_of(group: str) -> list[str]:
    """What a config group offers, such as "model/attention"; the stems of its YAML files."""
    return sorted(path.stem for path in (config_dir() / group).glob("[!_]*.yaml"))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known word, if there is one, and the others.

    >>> did_you_mean("mhsb", ["se", "mhsa"])
    'did you mean `mhsa`? Known: mhsa, se'
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(word), known, n=6, cutoff=0.5)
    hint = f"did you mean `{near[0]}`? " if near else ""
    if len(known) > 16 and near:
        return f"{hint}Near it: {', '.join(near)}; {len(known)} in all, `--help` lists them"
    return f"{hint}Known: {', '.join(known) or 'none'}"


def first_of(names: Iterable[str], most: int = 4, between: str = ", ") -> str:
    """The first names, and how many more there are.

    >>> first_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    names, last = list(names), " and " if between == ", " else f"{between}and "
    more = f"{last}{len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def setting(settings: Any, key: str) -> Any:
    """The value of a dotted key; None where it is not there.

    >>> setting({"optimizer": {"lr": 0.1}}, "optimizer.lr")
    0.1
    """
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def with_changed(
    settings: Mapping[str, Any], keys: Iterable[str], change: Callable[[Any, str], Any]
) -> dict[str, Any]:
    """The settings with `change(value, key)` in the place of the values of those dotted keys."""
    changed = copy.deepcopy(dict(settings))
    for key in sorted(keys):
        above, _, name = key.rpartition(".")
        section = setting(changed, above) if above else changed
        if isinstance(section, dict) and section.get(name):
            section[name] = change(section[name], key)
    return changed


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What two flat mappings tell otherwise, by key.

    >>> differences({"seed": 0, "folds": 5}, {"seed": 1, "folds": 5})
    ['seed: 0 there, 1 here']
    """
    return [
        f"{key}: {there.get(key)} there, {here.get(key)} here"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]


def flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Key and value of what is no section itself.

    >>> list(flat({"optimizer": {"lr": 0.1}, "seed": 0}))
    [('optimizer.lr', 0.1), ('seed', 0)]
    """
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def typed(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` from a mapping, checked as by `call`."""
    return call(cls, values, where)


def typed_part(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """As `typed`, of what the mapping has of its fields: beside them may be anything."""
    names = {field.name for field in dataclasses.fields(typing.cast(Any, cls))}
    return typed(cls, {k: v for k, v in values.items() if k in names}, where)


def call(function: Callable[..., T], options: Mapping[str, Any], where: str, **given: Any) -> T:
    """Call `function(**given, **options)` after checking options against its signature.

    A function with a parameter `options`, a dataclass, gets them all in that; what has a default
    may be left out.
    where: the config path of the options, for messages, such as "train.early_stopping"; "" on top.
    given: what the caller passes and no user can set, such as channels.
    Raises ConfigError on a missing, unknown or wrongly typed option.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    if dataclasses.is_dataclass(record := hints.get("options")):
        return function(**given, options=call(typing.cast(type, record), options, where))
    known = {n: p for n, p in inspect.signature(function).parameters.items() if n not in given}
    prefix = f"{where}." if where else ""
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"`{prefix}{name}` is not an option; {hint}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in options:
            raise ConfigError(f"`{prefix}{name}` is not set; give it as {prefix}{name}=…")
    values = {n: checked(v, hints.get(n, Any), f"{prefix}{n}") for n, v in options.items()}
    return function(**given, **values)


def call_named(
    known: Mapping[str, Callable[..., T]], options: Mapping[str, Any], where: str, **given: Any
) -> T:
    """Call `known[options["name"]]` with the other options, checked as by `call`.

    Raises ConfigError, with the nearest name, when the name is not known.
    """
    options = dict(options)
    name = options.pop("name")
    if name not in known:
        raise ConfigError(f"{where}.name={name!r} is not known; {did_you_mean(name, known)}")
    return call(known[name], options, where, **given)


def find_builder(package: str, name: str, where: str) -> Callable[..., Any]:
    """The `build` function of the module `name` in `package`; importing no other module.

    package: such as "braintumor.models.attention".
    Raises ConfigError when there is no such module, naming the nearest.
    """
    known = component_names(package)
    if name not in known:
        raise ConfigError(f"{where}={name!r} is not known; {did_you_mean(str(name), known)}")
    return importlib.import_module(f"{package}.{name}").build


def component_names(package: str) -> list[str]:
    """Names of the components of a package: its public modules."""
    found = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(found) if not m.name.startswith("_"))


def checked(value: Any, hint: Any, where: str) -> Any:
    """value if it fits the type hint (int passes as float, list as tuple), else ConfigError.

    where: the key that the error names.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        value = checked(value, args[0], where)
        if value is not None and value not in args[1]:
            raise ConfigError(f"`{where}={value}` should be {args[1]}")
        return value
    if origin in (typing.Union, types.UnionType):
        return _checked_union(value, args, where)
    if origin is typing.Literal:
        if value in args:
            return value
        choices = did_you_mean(str(value), map(str, args))
        raise ConfigError(f"`{where}={value}` is not one of the choices; {choices}")
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return call(typing.cast(type, hint), value, where)
    if origin in (list, tuple) and isinstance(value, list | tuple):
        return _checked_list(value, origin, args, where)
    if origin is dict and isinstance(value, dict) and args[1] is not Any:
        return {k: checked(v, args[1], f"{where}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"`{where}` is a number of more digits than can be used") from None
    if hint is Path and isinstance(value, str | Path):
        return as_path(value, where)
    plain = origin or hint
    is_bool_for_number = isinstance(value, bool) and plain in (int, float)
    if isinstance(plain, type) and isinstance(value, plain) and not is_bool_for_number:
        return value
    raise ConfigError(f"`{where}={value}` should be {_type_name(hint)}, not {_type_of(value)}")


def _checked_union(value: Any, options: tuple[Any, ...], where: str) -> Any:
    """The first option that fits; the error of the only one that is not null, else of all."""
    if value is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    if len(rest) < len(options) and isinstance(value, str) and value.casefold() == "none":
        raise ConfigError(
            f"`{where}={value}` should be null where nothing is meant; use {where}=null"
        )
    if len(rest) == 1:
        return checked(value, rest[0], where)
    for option in rest:
        try:
            return checked(value, option, where)
        except ConfigError:
            continue
    wanted = " or ".join(_type_name(option) for option in rest)
    raise ConfigError(f"`{where}={value}` should be {wanted}, not {_type_of(value)}")


def _checked_list(value: Any, origin: type, args: tuple[Any, ...], where: str) -> Any:
    """A list, or a tuple of any length (`tuple[int, ...]`) or of as many as it has types."""
    hints = [args[0]] * len(value) if origin is list or args[-1] is Ellipsis else list(args)
    if len(hints) != len(value):
        raise ConfigError(f"`{where}={value}` should have {len(hints)} values, not {len(value)}")
    pairs = enumerate(zip(value, hints, strict=True))
    return origin(checked(inner, hint, f"{where}[{i}]") for i, (inner, hint) in pairs)


def _type_name(hint: Any) -> str:
    plain = {
        int: "a whole number", float: "a number", str: "a text", bool: "true or false",
        Path: "a path", list: "a list", tuple: "a list", Mapping: "a mapping", dict: "a mapping",
    }  # fmt: skip
    hint = typing.get_origin(hint) or hint
    if dataclasses.is_dataclass(hint):
        return f"a mapping with {', '.join(field.name for field in dataclasses.fields(hint))}"
    return plain.get(hint, getattr(hint, "__name__", str(hint)))


def _type_of(value: Any) -> str:
    return "null" if value is None else type(value).__name__
