"""The first page of help. It stands here as text so that showing it imports nothing."""

from __future__ import annotations

PAGE = """\
Usage: packhorse [--store URL] [--namespace NAME] COMMAND …

  Runs Python functions later, and can always say why a job is where it is.

Run
  worker [APP…]     Run jobs (-q QUEUE, --processes N, --threads N, --burst)
  run TASK [ARG…]   Enqueue one job (--wait), or run it --here without a store
  submit -- CMD     Enqueue a command, or all jobs of a file (--from, --each)
  relay [APP…]      Bring jobs from an outbox to the store
Look
  jobs              list | show | logs | cancel | requeue | delete
  queues            list | pause | resume | limit | purge | why
  flows             list | show
  workers           list | show
  scheduled         list | next | run | pause | resume | skip | reschedule
  report            Jobs by task, host, day …: counts, times, failures (--html)
  why JOB           Why a job is where it is, in one sentence
Look after
  config            Every setting, its value and where it came from
  db                migrate | status | sql
  move FROM TO      Move all jobs to another store
  explain CODE      What an error code means and what to do

  The store: --store URL, PACKHORSE_URL, or store = "…" in packhorse.toml.
  Each read takes --json. More on each: packhorse COMMAND --help
"""
