"""One event's way as a picture for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from lanternpipe.ops.journey import TOLD, Found, Journey, conclude, moment
from lanternpipe.ops.shown import printable, readable, size
from lanternpipe.records import Place

COLOURS = {
    "processed": "green",
    "dead_lettered": "red",
    "waiting": "yellow",
    "filtered_or_not_found": "magenta",
}
MOST_LISTED = 10


def as_tree(journey: Journey, *, show: bool = False) -> RenderableType:
    """Return the way for people.

    Args:
        journey: What was found.
        show: Whether keys and values are told, which are personal data.
    """
    conclusion = conclude(journey)
    colour = COLOURS[conclusion.outcome]
    title, *details = _input(journey, show=show)
    # The guides of a tree begin below its root; this one begins at its first line.
    below = (Text.assemble(("│", "dim"), line[1:]) for line in details)
    tree = Tree(Group(title, *below), guide_style="dim")
    tree.add(_group(journey))
    for found in journey.outputs[:MOST_LISTED]:
        mark = "✔" if journey.passed and len(journey.outputs) == 1 else "?"
        tree.add(Group(_title(mark, "green", found, journey), *_details(found, show=show)))
    if (more := len(journey.outputs) - MOST_LISTED) > 0:
        tree.add(Text(f"… and {more:,} more candidates", style="dim"))
    for found in journey.letters:
        title = _title("✘", "red", found, journey)
        tree.add(Group(title, *_why(found), *_details(found, show=show)))
    if not journey.outputs and not journey.letters:
        for each in journey.searched:
            tree.add(Text.assemble(("○ ", "dim"), f"none in {each}"))
    lines = [Text(printable(conclusion.text), style=f"bold {colour}"), *_others(journey.others)]
    return Group(tree, Text(), *lines)


def _input(journey: Journey, *, show: bool) -> Iterator[Text]:
    if journey.source is not None:
        yield _title("●", "cyan", journey.source, journey)
        yield from _details(journey.source, show=show)
        return
    yield Text.assemble(("● ", "dim"), (str(journey.event), "bold"))
    yield Text("  no longer retained; its dead letter tells of it", style="dim")


def _group(journey: Journey) -> Text:
    committed = journey.committed
    if committed is None:
        return Text.assemble(("○ ", "yellow"), f"{journey.group} has committed nothing here yet")
    mark = ("● ", "cyan") if journey.passed else ("○ ", "yellow")
    return Text.assemble(mark, f"{journey.group} has committed up to {committed:,}")


def _title(mark: str, colour: str, found: Found, journey: Journey) -> Text:
    line = Text.assemble((f"{mark} ", colour), (str(found.place), "bold"))
    line.append(f"  {moment(found.timestamp)}", style="dim")
    origin = journey.timestamp
    if origin is not None and found.timestamp != origin:
        line.append(f"  {(found.timestamp - origin) / 1_000:+,.3f} s", style="dim")
    return line


def _details(found: Found, *, show: bool) -> Iterator[Text]:
    sizes = f"  key {size(found.key)}, value {size(found.value)}"
    yield Text(sizes, style="dim")
    if found.trace_id:
        yield Text(f"  trace {found.trace_id}", style="dim")
    if show:
        yield Text(f"  key   {readable(found.key)}")
        yield Text(f"  value {readable(found.value)}")


def _why(letter: Found) -> Iterator[Text]:
    told = {name: printable(text) for name in TOLD if (text := letter.header(TOLD[name]))}
    line = Text.assemble("  ", (told.get("reason", "no reason given"), "red"))
    if "stage" in told:
        line.append(f" at {told['stage']}")
    if "field" in told:
        line.append(f": field {told['field']}")
    if "limit" in told:
        line.append(f", should be {told['limit']}")
    yield line
    named = ("attempt", "error", "group", "version")
    yield Text(
        "  " + ", ".join(f"{name} {told[name]}" for name in named if name in told), style="dim"
    )


def _others(places: Iterable[Place]) -> Iterator[Text]:
    places = list(places)
    if not places:
        return
    yield Text(f"{len(places):,} later events of this key fit as well, also candidates:")
    for place in places[:MOST_LISTED]:
        yield Text(f"  lanternpipe journey {place}")
    if len(places) > MOST_LISTED:
        yield Text("  …")
