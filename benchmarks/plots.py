"""The plots of docs/performance.md, drawn from what `make bench` has kept."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no window; before pyplot, which would choose one

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import S_AN_HOUR
from benchmarks.report import (
    LOOKUPS,
    PEERS,
    SOAK,
    STREAMS,
    Part,
    Results,
    cpu,
    cpu_percents,
    growing,
    memory,
    straight_lines,
)

DPI = 110
SIZE_INCHES = (9.0, 3.8)
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def draw(results: Results, folder: Path) -> list[Path]:
    """A PNG for each part that was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[Part, Figure], None]] = {
        STREAMS: _streams, PEERS: _peers, LOOKUPS: _lookups, SOAK: _soak,
    }  # fmt: skip
    paths = []
    for name, part in results.items():
        figure = plt.figure(figsize=SIZE_INCHES, layout="constrained")
        drawings[name](part, figure)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
        plt.close(figure)
        paths.append(path)
    return paths


def _streams(part: Part, figure: Figure) -> None:
    busy, pss = figure.subplots(1, 2)
    fits = straight_lines(part.lines)
    for size, colour in zip(dict.fromkeys(line.size for line in part.lines), COLOURS, strict=False):
        some = growing(part.lines, size)
        numbers = [line.streams for line in some]
        busy.plot(numbers, [line.ours_percent * line.streams for line in some], "o", color=colour, label=size)
        busy.plot(numbers, [line.floor_percent * line.streams for line in some], "x", color=colour)
        pss.plot(numbers, [line.pss_mib * line.streams for line in some], "o", color=colour, label=size)
        if size in fits:
            for axes, name, style in ((busy, "ours", "-"), (busy, "floor", ":"), (pss, "pss", "-")):
                axes.plot(numbers, [fits[size][name].at(number) for number in numbers], style, color=colour, lw=1)
    busy.plot([], [], "x:", color="grey", label="floor: ffmpeg, keyframes")
    _named(busy, "streams", "CPU of all, % of a core")
    _named(pss, "streams", "PSS of all, MiB, library included")


def _peers(part: Part, figure: Figure) -> None:
    axes = figure.subplots()
    shown = sorted(part.peers, key=lambda peer: (peer.how, -peer.percent))
    bars = axes.barh(
        [f"{peer.name} ({peer.how})" for peer in shown],
        [peer.percent for peer in shown],
        color=["tab:orange" if peer.name == "StreamGuard" else "tab:grey" for peer in shown],
    )
    axes.bar_label(bars, [f" {peer.percent:.2f} %" for peer in shown])
    axes.margins(x=0.2)
    axes.set_xlabel("CPU of a stream of 1080p30, 6 Mb/s, % of a core")


def _lookups(part: Part, figure: Figure) -> None:
    time, room = figure.subplots(1, 2)
    for what, colour in zip(dict.fromkeys(one.what for one in part.growth), COLOURS, strict=False):
        some = [one for one in part.growth if one.what == what]
        sizes = [one.size for one in some]
        time.loglog(sizes, [one.look_ms for one in some], "o-", color=colour, label=what)
        time.loglog(sizes, [one.flat_look_ms for one in some], ":", color=colour, label=f"{what}, every code")
        room.loglog(sizes, [one.size * one.bytes_each / 1e6 for one in some], "o-", color=colour, label=what)
    _named(time, "fingerprints in the library", "a look, ms of CPU")
    _named(room, "fingerprints in the library", "memory, MB")


def _soak(part: Part, figure: Figure) -> None:
    memory_of, busy = figure.subplots(1, 2)
    for line, colour in zip(part.lines, COLOURS, strict=False):
        name = f"{line.streams} x {line.size}"
        points = [(at_s / S_AN_HOUR, own_mib) for at_s, _, own_mib in line.samples]
        for axes, some, through in ((memory_of, points, memory(line)), (busy, cpu_percents(line), cpu(line))):
            hours = [hour for hour, _ in some]
            axes.plot(hours, [value for _, value in some], ".", color=colour, label=name)
            axes.plot(hours, [through.at(hour) for hour in hours], "-", color=colour, lw=1)
    _named(memory_of, "hours", "memory of their own, MiB")
    _named(busy, "hours", "CPU of all, % of a core")


def _named(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if axes.get_yscale() == "linear":
        axes.set_ylim(0, axes.dataLim.ymax * 1.15)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
