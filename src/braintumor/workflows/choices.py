"""What may be meant by a model or a data set that has no such name: a net of timm, a place."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

from braintumor.config import did_you_mean, options_of
from braintumor.workflows.quoting import is_there
from braintumor.workflows.words import Typed, model_names

_SIZES = ("tiny", "small", "base")


def preset_of(path: Path) -> str | None:
    """The option of data= that reads this file or folder; None for a file of another kind."""
    # NumPy and Pillow, which no other answer needs
    from braintumor.data.sources.archive import is_archive_name
    from braintumor.data.sources.folder import OTHER_SOURCES

    if path.is_dir():
        return "npz" if any([*path.glob("*.npz"), *path.glob("*.npy")]) else "folder"
    if is_archive_name(path.name):
        return "archive"
    return OTHER_SOURCES.get(path.suffix.casefold())


def own_data(place: str) -> list[str]:
    """The words by which a data set is read there, such as data=folder data.root=DIR."""
    preset = preset_of(Path(place).expanduser()) if is_there(place) else None
    key = "data.table" if preset == "table" else "data.root"
    return [f"data={preset or 'folder'}", f"{key}={place}"]


def explain_choice(group: str, name: str, options: Sequence[str], typed: Typed) -> str:
    """One sentence on GROUP=NAME where the group has no such option."""
    if group in ("model", "model/backbone"):
        return _explain_model(group, name, typed)
    if group == "data":
        if is_there(name):
            if preset_of(Path(name).expanduser()) is None:
                return (
                    f"data={name} is a file of another kind; data sets are folders, zip or tar "
                    "files, .npz files and .csv tables"
                )
            return f"data={name} names a place; {typed.use(*own_data(name))}"
        if "/" in name or name.startswith("~") or preset_of(Path(name)):
            return f"data={name} is no data set, and there is no file or folder of that name"
    known = sorted(option for option in options if not option.startswith("_"))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    use = f"; {typed.use(f'{group}={near[0]}')}" if near else ""
    return f"{group}={name} is not known; {did_you_mean(name, known)}{use}"


def _explain_model(group: str, name: str, typed: Typed) -> str:
    own = list(model_names()) if group == "model" else options_of(group)
    nets, plain = _timm_names(), name.casefold().replace("-", "_")
    stem, _, last = plain.rpartition("_")
    has_attention = group == "model" and stem and last in options_of("model/attention")
    net, attention = (stem, f"_{last}") if has_attention else (plain, "")

    same = [known for known in own if known.replace("_", "") == plain.replace("_", "")]
    if not same and net in nets:
        timm = typed.use(f"{group}=timm{attention}", f"model.backbone.timm_name={net}")
        return f"{group}={name} is a net of timm; {timm}"
    begun = sorted((known for known in own if known.startswith(plain)), key=len)
    longer = sorted((known for known in nets if known.startswith(net)), key=_simplest)
    close = difflib.get_close_matches(plain, own, n=1, cutoff=0.7)
    if ours := same or begun or ([] if longer else close):
        near = f"did you mean `{ours[0]}`? Then {typed.use(f'{group}={ours[0]}')}"
        return f"{group}={name} is not known; {near}"
    family = [known for known in nets if known.startswith(f"{net.partition('_')[0]}_")]
    close = difflib.get_close_matches(net, family or nets, n=12, cutoff=0.4 if family else 0.75)
    if theirs := longer or sorted(close, key=_simplest):
        timm = typed.use(f"{group}=timm{attention}", f"model.backbone.timm_name={theirs[0]}")
        return f"{group}={name} is not known, but timm has {', '.join(theirs[:3])}; {timm}"
    backbones = ", ".join(options_of("model/backbone"))
    return f"{group}={name} is not known; known are {backbones}, each also with _se, _cbam or _mhsa"


def _simplest(name: str) -> tuple[int, bool, int, str]:
    size = next((i for i, word in enumerate(_SIZES) if f"_{word}" in name), len(_SIZES))
    return size, "patch16_224" not in name, len(name), name


def _timm_names() -> list[str]:
    """The nets of timm, read from its files: to import it would take seconds."""
    try:
        found = importlib.util.find_spec("timm")
    except ImportError:
        return []
    places = found.submodule_search_locations if found else None
    files = [file for place in places or () for file in sorted(Path(place, "models").glob("*.py"))]
    pattern = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.M)
    return [name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))]
