"""Config as people write it: a TOML file, variables above it, and every mistake told at once with what to do.

It works on any pydantic model and reads no file.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final, get_args, get_origin

from hashcheck_core.errors import ConfigError

Path = tuple[str, ...]
_TABLES: Final = (dict, list, tuple, set, frozenset, Mapping, Set)
# Kubernetes and Docker put the addresses of a service into the variables of its neighbours: HASHCHECK_SERVICE_HOST,
# HASHCHECK_PORT_8080_TCP_ADDR. Nobody wrote them, and they are no settings.
_OF_A_SERVICE: Final = re.compile(
    r"\w+_SERVICE_(HOST|PORT(_\w+)?)=.*|\w+_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))|\w*=(tcp|udp|sctp)://).*"
)


@dataclass
class Variables:
    """What variables say. `names` are those that gave something, by the path of the key they set."""

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[Path, str] = field(default_factory=dict)
    mistakes: list[ConfigError] = field(default_factory=list)


def read_variables(
    model: type[Any], prefix: str, environment: Mapping[str, str], others: Iterable[str] = ()
) -> Variables:
    """The variables that set keys of `model`.

    Args:
        model: A pydantic model; `PREFIX_A__B` sets the key `b` of its table `a`.
        prefix: With its underscore.
        environment: All variables. One with the prefix that sets nothing is a mistake.
        others: Names with the prefix that mean something else.
    """
    found = Variables()
    known = {prefix + "__".join(path).upper() for path in paths(model)}
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(prefix) or upper in others:
            continue
        if _OF_A_SERVICE.fullmatch(f"{upper}={environment[name]}"):
            continue
        path = tuple(upper.removeprefix(prefix).lower().split("__"))
        kind = _kind_at(model, path)
        if kind is None:
            close = difflib.get_close_matches(upper, known, 1)
            found.mistakes.append(
                ConfigError(f"{name}: there is no such variable.", next_step=_did_you_mean(close))
            )
            continue
        value: Any = environment[name]
        if _is_table(kind):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                found.mistakes.append(
                    ConfigError(
                        f"{name} is not JSON, as a list or a table must be in a variable.",
                        next_step="""Write it as in HASHCHECK_POLICY__CATEGORIES='["baseline"]'.""",
                    )
                )
                continue
        found.names[path] = name
        _merge(found.values, _nested(path, value))
    return found


def above(file: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says, with `variables` above it."""
    merged: dict[str, Any] = {}
    _merge(merged, file)
    _merge(merged, variables)
    return merged


def mistakes(
    errors: Iterable[Mapping[str, Any]],
    model: type[Any],
    file: str,
    page: str,
    variables: Mapping[Path, str] | None = None,
) -> list[ConfigError]:
    """What pydantic found (`ValidationError.errors()`), one sentence each.

    Args:
        file: Where the keys stand that no variable set.
        page: The page that explains every key.
    """
    told = list(errors)
    # A list whose items are wrong is also called too short: it is the items that are to be mended.
    around = {tuple(error["loc"])[:length] for error in told for length in range(len(error["loc"]))}
    return [
        _mistake(error, model, file, page, variables or {})
        for error in told
        if tuple(error["loc"]) not in around
    ]


def _mistake(
    error: Mapping[str, Any], model: type[Any], file: str, page: str, variables: Mapping[Path, str]
) -> ConfigError:
    loc = tuple(str(part) for part in error["loc"])
    where = ": ".join(filter(None, (file, ".".join(loc))))
    for length in range(len(loc), 0, -1):
        if (name := variables.get(loc[:length])) is not None:
            where = ": ".join(filter(None, (name, ".".join(loc[length:]))))
            break
    see = f"See {page} for every key."
    if error["type"] == "extra_forbidden":
        return ConfigError(
            f"{where}: there is no such key.", next_step=_did_you_mean(_nearest(model, loc)) or see
        )
    if error["type"] == "missing":
        return ConfigError(f"{where}: it is required.", next_step=see)
    return ConfigError(f"{where}: {error['msg'].removeprefix('Value error, ')}.", next_step=see)


def paths(model: type[Any], before: Path = ()) -> Iterator[Path]:
    """Every key of `model`, and of the tables in it."""
    for name, known in model.model_fields.items():
        yield (*before, name)
        inner = None if _is_mapping(known.annotation) else _model_in(known.annotation)
        if inner is not None:
            yield from paths(inner, (*before, name))


def _nearest(model: type[Any], loc: Path) -> list[str]:
    """The key that was meant: one of the same table that is spelt alike, else one of that name in another table."""
    table: type[Any] = model
    for part in loc[:-1]:
        if part in table.model_fields:
            table = _model_in(table.model_fields[part].annotation) or table
    alike = difflib.get_close_matches(loc[-1], list(table.model_fields), 1)
    elsewhere = [".".join(path) for path in paths(model) if path[-1] == loc[-1]]
    return alike or elsewhere[:1]


def _did_you_mean(names: list[str]) -> str:
    return f"Did you mean {names[0]}?" if names else ""


def _kind_at(model: Any, path: Path) -> Any:
    """The type of the key at `path`; None where there is no such key."""
    kind: Any = model
    for part in path:
        inner = _model_in(kind) if not _is_mapping(kind) else None
        if inner is not None and part in inner.model_fields:
            kind = inner.model_fields[part].annotation
        elif _is_mapping(kind) and part:
            kind = get_args(kind)[1]
        else:
            return None
    return kind


def _model_in(kind: Any) -> type[Any] | None:
    """The pydantic model in a type: itself, or what an optional, a tuple or a mapping holds."""
    if hasattr(kind, "model_fields"):
        found: type[Any] = kind
        return found
    return next((inner for part in get_args(kind) if (inner := _model_in(part)) is not None), None)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_table(kind: Any) -> bool:
    """Whether a value of this type is a list or a table."""
    origin = get_origin(kind) or kind
    if isinstance(origin, type) and (issubclass(origin, _TABLES) or hasattr(origin, "model_fields")):
        return True
    return any(_is_table(part) for part in get_args(kind) if get_origin(kind) is not None)


def _nested(path: Path, value: object) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if not isinstance(value, Mapping):
            into[name] = value
            continue
        if not isinstance(into.get(name), dict):
            into[name] = {}
        _merge(into[name], value)
