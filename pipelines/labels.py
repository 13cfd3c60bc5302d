"""Names and tags of pipelines and versions: the limits that KFP sets, and what each defaults to."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.spec.problems import Problem

LONGEST_PIPELINE_NAME = 128
LONGEST_VERSION_NAME = 127
LONGEST_TAG = 63
MOST_TAGS = 20


def resolve_names(name: str, display_name: str, otherwise: str = "") -> tuple[str, str]:
    """Name and display name, each defaulting to the other, both to `otherwise`."""
    name = name or display_name or otherwise
    return name, display_name or name


def name_problems(name: str, display_name: str, *, longest: int) -> list[Problem]:
    """What is wrong with a name and a display name."""
    found = []
    if not name.strip():
        found.append(Problem("A name is required.", "name"))
    for place, value in (("name", name), ("display_name", display_name)):
        if len(value) > longest:
            found.append(
                Problem(f"The {place.replace('_', ' ')} has {len(value)} characters; at most {longest} are allowed.", place)
            )
        if "\0" in value:
            found.append(Problem(f"The {place.replace('_', ' ')} has a NUL character in it; leave it out.", place))
    return found


def tag_problems(tags: Mapping[str, str]) -> list[Problem]:
    """What is wrong with tags: too many, a key that is empty or has a dot, a key or a value that is too long."""
    found = []
    if len(tags) > MOST_TAGS:
        found.append(Problem(f"There are {len(tags)} tags; at most {MOST_TAGS} are allowed.", "tags"))
    for key, value in tags.items():
        place = f"tags.{key}"
        if not key:
            found.append(Problem("A tag needs a key that is not empty.", "tags"))
        if "." in key:
            found.append(Problem(f"The tag key {key!r} has a dot in it; dots are not allowed.", place))
        if len(key) > LONGEST_TAG:
            found.append(Problem(f"The tag key {key[:20]!r}… has {len(key)} characters; at most {LONGEST_TAG} are allowed.", place))
        if len(value) > LONGEST_TAG:
            found.append(
                Problem(f"The value of tag {key!r} has {len(value)} characters; at most {LONGEST_TAG} are allowed.", place)
            )
    return found


def tags_text(tags: Mapping[str, str]) -> str:
    """Tags as a person edits them: `key=value`, one a line."""
    return "\n".join(f"{key}={value}" for key, value in tags.items())


def read_tags(text: str) -> tuple[dict[str, str], list[str]]:
    """The tags that such a text says, and a sentence for everything that is wrong with it."""
    tags: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key:
            problems.append(f"Line {number}: a tag is key=value; {line.strip()[:60]!r} is not.")
        elif key in tags:
            problems.append(f"Line {number}: the key {key[:60]!r} is there already.")
        else:
            tags[key] = value
    return tags, problems + [problem.message for problem in tag_problems(tags)]
