"""A report as one HTML file: it fetches nothing, runs nothing, and can be mailed, printed and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from html import escape
from typing import NamedTuple

from .._durations import spoken
from .._when import local
from .columns import Column
from .plots import ENDS, PARTS, bars, columns, legend, spans
from .tally import Group, Tally

#: So many groups are drawn; the table has them all.
DRAWN = 30


class Heading(NamedTuple):
    """What a report says of itself."""

    what: str  #: of which jobs
    store: str  #: secrets masked
    made: int  #: µs
    where: tzinfo | None = None


def page(tally: Tally, heading: Heading, shown: Sequence[Column]) -> str:
    """Return the whole file."""
    return "".join(_parts(tally, heading, shown))


def _parts(tally: Tally, heading: Heading, shown: Sequence[Column]) -> Iterator[str]:
    yield f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="generator" content="Packhorse">
<title>Jobs by {escape(" and ".join(tally.by))}</title><style>{_STYLE}</style></head><body><main>
<h1>Jobs by {escape(" and ".join(tally.by))}</h1>
<p class="soft">{escape(heading.what)} · {escape(heading.store)} · made {_moment(heading.made, heading.where)}</p>
{_tiles(tally.all)}
"""
    if tally.all.jobs:
        yield from _plots(tally, heading.where)
        yield from _table(tally, shown, heading.where)
        yield from _failures(tally)
    else:
        yield "<p>No job matches.</p>"
    yield "</main></body></html>\n"


def _moment(moment: int, where: tzinfo | None) -> str:
    return escape(local(moment, where).strftime("%Y-%m-%d %H:%M %Z"))


def _tiles(group: Group) -> str:
    states = group.states
    facts = [
        ("jobs", f"{group.jobs:,}", ""),
        ("succeeded", f"{states['succeeded']:,}", "succeeded"),
        ("failed", f"{states['failed']:,}", "failed" if states["failed"] else ""),
        ("cancelled", f"{states['cancelled']:,}", ""),
        ("not ended", f"{states['open']:,}", ""),
        ("retries", f"{group.retries:,}", ""),
        ("median run", _spoken(group.ran.at(0.5)), ""),
        ("95 of 100", _spoken(group.ran.at(0.95)), ""),
        ("wall", _spoken(group.wall), ""),
    ]
    return (
        "<dl>"
        + "".join(f'<div class="{kind}"><dt>{name}</dt><dd>{said}</dd></div>' for name, said, kind in facts)
        + "</dl>"
    )


def _spoken(value: float | None) -> str:
    return "–" if value is None else spoken(value)


def _plots(tally: Tally, where: tzinfo | None) -> Iterator[str]:
    groups = [(" · ".join(key), group) for key, group in tally.groups()]
    end = "last" if tally.in_time else "first"
    less = f" <small>the {end} {DRAWN} of {len(groups):,}</small>" if len(groups) > DRAWN else ""
    drawn = groups[-DRAWN:] if tally.in_time else groups[:DRAWN]
    timeline = columns(tally.ends, where)
    if timeline:
        yield f"<section><h2>Ended, each {_stretch(tally.ends.width)}</h2>{legend(ENDS)}{timeline}</section>"
    yield f"<section><h2>How many{less}</h2>{legend(PARTS)}{bars(drawn)}</section>"
    times = spans(drawn)
    if times:
        said = "● half of the runs took no longer, ▬ 95 of 100, ─ the longest; in numbers: the first two"
        yield f'<section><h2>How long{less}</h2><p class="soft">{said}</p>{times}</section>'


def _stretch(width: int) -> str:
    named = {1: "second", 60: "minute", 3600: "hour", 86400: "day", 7 * 86400: "week"}
    return named.get(width) or spoken(width).replace(".0 s", " s")


def _table(tally: Tally, shown: Sequence[Column], where: tzinfo | None) -> Iterator[str]:
    head = "".join(f"<th>{escape(name)}</th>" for name in tally.by)
    head += "".join(f'<th class="{each.kind}" title="{escape(each.about)}">{each.name}</th>' for each in shown)
    yield f'<section><h2>All groups</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>'
    for key, group in tally.groups():
        yield _row(key, group, shown, where)
    yield f"</tbody><tfoot>{_row(('all', *[''] * (len(tally.by) - 1)), tally.all, shown, where)}</tfoot></table></div></section>"


def _row(key: Sequence[str], group: Group, shown: Sequence[Column], where: tzinfo | None) -> str:
    cells = "".join(f"<th>{escape(part)}</th>" for part in key)
    for column in shown:
        bad = " bad" if column.name == "failed" and group.states["failed"] else ""
        cells += f'<td class="{column.kind}{bad}">{escape(column.text(group, where))}</td>'
    return f"<tr>{cells}</tr>"


def _failures(tally: Tally) -> Iterator[str]:
    causes = tally.causes()
    if not causes:
        return
    yield '<section><h2>Why jobs failed</h2><div class="wide"><table class="why"><thead><tr><th>jobs</th><th>task</th>'
    yield "<th>because</th><th>last words of the newest</th><th>for example</th></tr></thead><tbody>"
    for cause in causes:
        examples = ", ".join(f"<code>{escape(job[-8:])}</code>" for job in cause.examples)
        cells = "".join(f"<td>{escape(text)}</td>" for text in (cause.task, cause.what, cause.last))
        yield f'<tr><td class="count bad">{cause.jobs:,}</td>{cells}<td>{examples}</td></tr>'
    yield '</tbody></table></div><p class="soft after">All about one of them: <code>packhorse jobs show ID</code></p></section>'


_STYLE = """
:root{--back:#fff;--fore:#1d2229;--soft:#667080;--line:#e2e6eb;--card:#f6f7f9;
--succeeded:#2e8b57;--failed:#c9372c;--cancelled:#98a1ad;--open:#3b7dd8;--span:#8fb4e3;--dot:#22599e}
@media (prefers-color-scheme:dark){:root{--back:#14181d;--fore:#e6e9ed;--soft:#98a3b0;--line:#2a313a;--card:#1c2229;
--succeeded:#3fa76c;--failed:#e5645a;--cancelled:#6c7683;--open:#5b97e6;--span:#33557f;--dot:#8fbcf5}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--fore);font:15px/1.45 system-ui,sans-serif}
main{max-width:1240px;margin:0 auto;padding:24px 20px 48px}h1{font-size:26px;margin:0 0 4px}
h2{font-size:17px;margin:0 0 8px}h2 small,.soft{color:var(--soft);font-weight:400}p{margin:0 0 12px}
section{margin:32px 0 0}dl{display:flex;flex-wrap:wrap;gap:10px;margin:20px 0 0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px 14px;min-width:88px}
dt{color:var(--soft);font-size:13px}dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums;white-space:nowrap}
dl .failed dd{color:var(--failed)}dl .succeeded dd{color:var(--succeeded)}
svg{display:block;width:100%;height:auto}svg text{fill:var(--fore);font-size:13px}svg text.soft{fill:var(--soft);font-size:12px}
.grid{stroke:var(--line)}rect.succeeded,i.succeeded{fill:var(--succeeded);background:var(--succeeded)}
rect.failed,i.failed{fill:var(--failed);background:var(--failed)}
rect.cancelled,i.cancelled{fill:var(--cancelled);background:var(--cancelled)}
rect.open,i.open{fill:var(--open);background:var(--open)}rect.span,rect.far{fill:var(--span)}.dot{fill:var(--dot)}
.legend{display:flex;gap:18px;list-style:none;margin:0 0 8px;padding:0;color:var(--soft);font-size:13px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}
.after{margin-top:8px}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:5px 14px 5px 0;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
thead th{color:var(--soft);font-weight:500}tbody th,tfoot th{font-weight:500}tfoot th,tfoot td{font-weight:600}
td.text{white-space:normal;min-width:150px}
.count,.seconds,.bytes{text-align:right}.bad{color:var(--failed)}.why td{white-space:normal;overflow-wrap:anywhere}
.why td:nth-child(3),.why td:nth-child(4){min-width:240px}code{font-size:12.5px;white-space:nowrap}
@media print{section{break-inside:avoid}main{max-width:none}.wide{overflow:visible}table,td code{font-size:9px}
th,td{white-space:normal;padding:3px 4px}.count,.seconds,.bytes{white-space:nowrap}
td.text,.why td:nth-child(n){min-width:0}}
"""
