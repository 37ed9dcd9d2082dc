"""A real encoder as a job, or where there is none a small program that behaves like one: progress, a cancel half-way, again."""

from __future__ import annotations

import math
import shutil
import struct
import sys
import wave
from pathlib import Path

import pytest

from packhorse import Job
from tests.worker.site import Site, eventually, with_argument

#: The length of the sound (seconds), which is also how long it takes to encode: the encoder is told to take its time.
LENGTH = 4

#: Reads a sound and writes it compressed, a tenth of a second at a time; tells its progress as ffmpeg does.
SMALL = """
import sys, time, wave, zlib
source, target = sys.argv[1:]
packer = zlib.compressobj()
with wave.open(source) as sound, open(target, "wb") as out:
    rate, done = sound.getframerate(), 0
    while frames := sound.readframes(rate // 10):
        time.sleep(0.1)
        done += 100_000
        out.write(packer.compress(frames) + packer.flush(zlib.Z_SYNC_FLUSH))
        out.flush()
        print(f"frame=1\\nout_time_us={done}\\nprogress=continue", flush=True)
    out.write(packer.flush())
"""

#: What the archive's wrapper does: from the encoder's lines to ours, with the encoder's own exit status.
WRAPPER = """#!/bin/bash
set -o pipefail
total=$1; shift
"$@" | while IFS='=' read -r key value; do
  [ "$key" = out_time_us ] && [ "$value" -ge 0 ] 2>/dev/null && echo "progress $value/$total encoding" >&3
done
exit "${PIPESTATUS[0]}"
"""


@pytest.fixture
def encoder(site: Site) -> list[str]:
    """Return the command that encodes ``in.wav`` to ``out/sound.mp3``, and make the sound."""
    if shutil.which("bash") is None:
        pytest.skip("the wrapper is a script of bash")
    sound = site.directory / "content" / "sound.wav"
    sound.parent.mkdir()
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        tone = (int(20000 * math.sin(n / 5)) for n in range(8000 * LENGTH))
        file.writeframes(b"".join(struct.pack("<h", each) for each in tone))
    wrapper = site.directory / "encode.sh"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    if shutil.which("ffmpeg"):
        words = [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-re",
            "-i",
            "in.wav",
            "-progress",
            "pipe:1",
            "-f",
            "mp3",
            "out/sound.mp3",
        ]
    else:
        (site.directory / "small.py").write_text(SMALL)
        words = [sys.executable, str(site.directory / "small.py"), "in.wav", "out/sound.mp3"]
    return [str(wrapper), str(LENGTH * 1_000_000), *words]


def test_an_encoder(site: Site, encoder: list[str]) -> None:
    content = site.directory / "content"
    site.worker("--allow-commands", f"{site.directory}/*", "--workspaces", f"{site.directory}/spaces", app=None).ready()
    queue = site.queue.using(reserves=f"dir:{content}")
    job = queue.command(
        encoder, inputs={"in.wav": str(content / "sound.wav")}, outputs={"out/*.mp3": str(content / "derived")}
    )
    half_way(job, site)
    job.cancel()
    assert site.end(job).state == "cancelled"
    assert not with_argument(f"PACKHORSE_JOB_ID={job.id}")
    assert not (content / "derived").exists()
    job.requeue()
    half_way(job, site)
    ended = site.end(job)
    assert ended.state == "succeeded", ended.error
    assert [each.name for each in (content / "derived").iterdir()] == ["sound.mp3"]
    assert (content / "derived" / "sound.mp3").stat().st_size > 1000
    assert progress(job) == pytest.approx(1.0, abs=0.1)
    assert [attempt.outcome for attempt in site.attempts(job)] == ["cancelled", "succeeded"]
    eventually(lambda: not list(Path(site.directory, "spaces").glob("run-*/*")), "that the workspace is gone")


def progress(job: Job[int]) -> float:
    bar = job.refresh().progress.get("", {"done": 0.0, "total": 1.0})
    return float(bar["done"] / bar["total"])


def half_way(job: Job[int], site: Site) -> None:
    eventually(lambda: site.job(job).state == "running" and 0.3 < progress(job) < 0.9, "that it is half-way")
