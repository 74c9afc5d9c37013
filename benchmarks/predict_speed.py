"""Measures `afn-jax predict`: times real time and peak memory, by length of the video.

    python benchmarks/predict_speed.py NETWORK.afn

Makes H.264 videos of 640 x 480 with a moving texture. One minute is
encoded, and repeated without encoding it again. Each measurement is a process of its own. Times
include the start of Python and JAX and the compilation of the network, which a first, short
prediction has put into the cache of compiled programs. CPU seconds are those of all threads, which
other work on the machine changes less. Prints the table of `docs/predict.md`.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# Prints the peak of the resident memory of the process, in KiB.
CHILD = """
import sys
from afn_jax.command.__main__ import main

code = main(sys.argv[1:])
with open("/proc/self/status") as file:
    peak = next(line.split()[1] for line in file if line.startswith("VmHWM"))
print(f"peak_kib={peak}")
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("network", help="file that python -m eval export wrote")
    add("--minutes", type=int, nargs="+", default=[1, 10, 60], help="lengths of the videos")
    add("--batch-sizes", type=int, nargs="+", default=[0], help="windows per call; 0: the default")
    add("--no-film-minutes", type=int, nargs="*", help="lengths without a film; default: the same")
    add("--rate", type=int, default=25, help="frames per second")
    options = parser.parse_args()
    without = options.minutes if options.no_film_minutes is None else options.no_film_minutes
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        one = write_minute(folder / "1.mp4", options.rate)
        measure(options.network, one, folder / "warm", ["--no-film"])
        print("| minutes | film | windows per call | times real time | CPU s per s | peak memory |")
        print("|---:|---|---:|---:|---:|---:|")
        cases = [(m, True) for m in options.minutes] + [(m, False) for m in without]
        for minutes, film in cases:
            for size in options.batch_sizes:
                video = repeat(one, folder / f"{minutes}.mp4", minutes)
                more = [] if film else ["--no-film"]
                more += ["--batch-size", str(size)]
                out = folder / f"out-{minutes}-{film}-{size}"
                took, cpu, peak = measure(options.network, video, out, more)
                shown = "default" if size == 0 else str(size)
                print(
                    f"| {minutes} | {'yes' if film else 'no'} | {shown} "
                    f"| {60 * minutes / took:.1f} | {cpu / (60 * minutes):.3f} "
                    f"| {peak / 1024:.0f} MiB |",
                    flush=True,
                )


def write_minute(path: Path, rate: int = 25) -> Path:
    """Writes one minute of a texture that moves, with a key frame every two seconds."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (68, 84, 3), np.uint8)
    texture = np.kron(coarse, np.ones((16, 16, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "g": str(2 * rate)}
        )
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for k in range(60 * rate):
            angle = 2 * np.pi * k / (60 * rate)
            top, left = round(280 + 250 * np.sin(7 * angle)), round(340 + 330 * np.cos(5 * angle))
            picture = np.ascontiguousarray(texture[top : top + 480, left : left + 640])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def repeat(one: Path, path: Path, minutes: int) -> Path:
    """Repeats a minute of video, copying its packets."""
    if path.exists():
        return path
    with av.open(str(path), "w") as target:
        stream = None
        for minute in range(minutes):
            with av.open(str(one)) as source:
                first = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(first)
                shift = int(60 * minute / Fraction(first.time_base))
                for packet in source.demux(first):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)
    return path


def measure(network: str, video: Path, out: Path, more: list[str]) -> tuple[float, float, int]:
    """Returns seconds, processor seconds and the peak memory in KiB of a prediction."""
    arguments = ["predict", network, str(video), "--out", str(out), *more]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if child.returncode:
        raise SystemExit(f"afn-jax {' '.join(arguments)}: {child.stderr}")
    peak = next(line for line in child.stdout.splitlines() if line.startswith("peak_kib="))
    return took, cpu, int(peak.partition("=")[2])


if __name__ == "__main__":
    main()
