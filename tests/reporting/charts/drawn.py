"""Charts as XML, for tests."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element


def read(chart: str) -> Element:
    """Parse a chart; each of its elements is closed, or this fails."""
    return ElementTree.fromstring(str(chart))


def tips(chart: str) -> list[str]:
    """Return what a pointer or key reads, in order."""
    return [one.get("data-tip", "") for one in read(chart).iter() if one.get("data-tip")]


def texts(chart: str, tag: str = "text", kind: str = "") -> list[str]:
    """Return the texts of elements, all or those of a class."""
    found = (one for one in read(chart).iter(tag) if not kind or kind in (one.get("class") or "").split())
    return ["".join(one.itertext()) for one in found]


def marks(chart: str, tag: str, kind: str) -> list[dict[str, str]]:
    """Return the attributes of the elements of a class."""
    return [dict(one.attrib) for one in read(chart).iter(tag) if kind in (one.get("class") or "").split()]
