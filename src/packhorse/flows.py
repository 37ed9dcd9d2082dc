"""Jobs that belong together: chains, groups, and what waits for them.

::

    from packhorse.flows import chain, group

    chain(jobs.draft(fetch, url), jobs.draft(parse, url), jobs.draft(report, url))

    pages = [jobs.draft(count, url) for url in urls]
    total = group(pages, then=jobs.draft(add, [page.as_argument for page in pages]))

A *flow* is a set of jobs with an id. ``chain`` and ``group`` each open one, ``using(flow="import 7")`` names one, and a job
that is enqueued by a job joins the flow of that one, unless ``flow=None``. ``using(after=Flow("import 7"))`` waits until every
other member has ended.
"""

from __future__ import annotations

from ._flow import Flow
from ._flowing import achain, agroup, chain, group

__all__ = ["Flow", "achain", "agroup", "chain", "group"]
