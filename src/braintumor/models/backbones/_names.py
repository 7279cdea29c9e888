"""Is it a net of timm, and if not, which was meant?"""

from __future__ import annotations

import difflib

import timm

from braintumor.errors import ConfigError


def check_timm_name(timm_name: str | None) -> str:
    """timm_name if timm knows the net and, when there is one, its tag.

    Raises ConfigError with the nearest names. Names with a scheme ("hf-hub:...") are refused:
    what they build is decided by a file elsewhere.
    """
    key = "model.backbone.timm_name"
    if not timm_name:
        raise ConfigError(f"`{key}` is not set; give a net of timm as {key}=NAME, such as resnet18")
    name, _, tag = timm_name.partition(".")
    if not timm.is_model(name):
        raise ConfigError(f"{key}={timm_name} is not a net of timm; {_nearest(name)}")
    if tag:
        tags = [n.partition(".")[2] for n in timm.list_models(f"{name}.*", pretrained=True)]
        if tag not in tags:
            raise ConfigError(
                f"timm has no weights `{tag}` of `{name}`; "
                f"tags: {', '.join(tags) or 'none, so leave it away'}"
            )
    return timm_name


def _nearest(name: str) -> str:
    known = timm.list_models()
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    near += [n for n in known if n.startswith(name[:4].lower()) and n not in near][: 5 - len(near)]
    if near:
        return f"did you mean {', '.join(f'`{n}`' for n in near)}?"
    return "timm.list_models() names them all"
