"""Make the network profiles of M-Lab's NDT speed tests: python data/networks/make_profiles.py SOURCE.csv

SOURCE.csv has a line for each country, with the number of its tests and the quantiles p1, p5, p10, p25, p50, p75, p90,
p95 and p99 of download and upload (Mbit/s), minimum round-trip time (ms) and loss (share), each ascending. M-Lab's data
are in the public domain (CC0); docs/network.md says where they are.

A profile keeps p5 to p95. World is the mixture of all countries, each with as many tests as it has.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

COUNTRIES = ("US", "DE", "IN", "NG", "BR", "FR", "GB", "ID", "JP", "KE", "KR", "MX", "ZA")
FOLDER = Path(__file__).parents[2] / "pipeline" / "evaluation" / "network" / "shipped"
SOURCE = (5, 10, 25, 50, 75, 90, 95)
ALL = (1, *SOURCE, 99)
COLUMNS = {
    "down_mbit_s": ("down_mbit_s", "download_tests", 3),
    "up_mbit_s": ("up_mbit_s", "upload_tests", 3),
    "rtt_ms": ("min_rtt_ms", "download_tests", 1),
    "loss": ("loss", "download_tests", 5),
}
"""By the name in a profile: the name in the source, whose tests it is of, and its decimals."""


def values(line: Mapping[str, str], name: str) -> list[float]:
    """Return a country's quantiles of ALL."""
    return [float(line[f"{name}_p{percent}"]) for percent in ALL]


def mixture(lines: Sequence[Mapping[str, str]], name: str, tests: str) -> list[float]:
    """Return the quantiles of SOURCE of all tests of all countries.

    The distribution of a country is linear between its quantiles; tests below p1 and above p99 are as at these.
    """
    places = np.unique([value for line in lines for value in values(line, name)])
    places = np.append(places, np.nextafter(places[-1], np.inf))  # everything is below it
    below = np.zeros(len(places))
    for line in lines:
        own = dict(zip(values(line, name), ALL, strict=True))  # of equal values the highest quantile
        shares = np.interp(places, list(own), np.array(list(own.values())) / 100, left=0, right=1)
        below += int(line[tests]) * shares
    below /= below[-1]
    return np.interp(np.array(SOURCE) / 100, below, places).tolist()


def write(name: str, told: str, columns: Mapping[str, Sequence[float]]) -> None:
    """Write a profile with its source above it."""
    text = [f"# M-Lab NDT, October 2025, {told}; CC0; see docs/network.md", f"quantile,{','.join(columns)}"]
    for place, percent in enumerate(SOURCE):
        cells = [f"{column[place]:.{COLUMNS[key][2]}f}" for key, column in columns.items()]
        text.append(",".join([f"{percent / 100:.2f}", *cells]))
    (FOLDER / f"{name}.csv").write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    """Write all profiles."""
    with Path(sys.argv[1]).open(newline="", encoding="utf-8") as file:
        lines = {line["country"]: line for line in csv.DictReader(file)}
    for country in COUNTRIES:
        line = lines[country]
        own = {key: values(line, name)[1:-1] for key, (name, _, _) in COLUMNS.items()}
        write(country, f"{int(line['download_tests']):,} tests in {country}", own)
    every = list(lines.values())
    told = f"{sum(int(line['download_tests']) for line in every):,} tests in {len(every)} countries"
    write("world", told, {key: mixture(every, name, tests) for key, (name, tests, _) in COLUMNS.items()})


if __name__ == "__main__":
    main()
