"""Makes the inputs, runs parsers on them in a worker process and watches time and memory.

The worker may crash, hang or run out of memory: then the input is saved, and a new worker continues
after it. Input n of a parser depends only on the seed, the parser and n.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks.fuzzing.mutations import mutate
from benchmarks.fuzzing.parser import Files, Parser, Violation

MODULES = tuple(
    f"benchmarks.fuzzing.{name}"
    for name in ("flow_files", "lists", "shards", "runs", "weights", "videos", "networks")
)
LIMIT_S = 5.0  # of processor time per input
HANG_S = 60.0  # of wall time per input; longer than LIMIT_S because the machine may be busy
LIMIT_BYTES = 2 << 30  # per input
RIGHT, ERROR = "right", "error"


@cache
def parsers(modules: tuple[str, ...] = MODULES) -> dict[str, Parser]:
    """The parsers in the lists PARSERS of modules, by name."""
    lists = [importlib.import_module(name).PARSERS for name in modules]
    return {parser.name: parser for parsers in lists for parser in parsers}


@dataclasses.dataclass
class Tally:
    """Results of a parser: number of inputs by outcome, and the worst input's time and memory."""

    name: str
    inputs: int = 0
    right: int = 0
    errors: int = 0
    violations: int = 0
    slowest_ms: float = 0.0
    highest_mb: float = 0.0
    found: list[str] = dataclasses.field(default_factory=list)

    def add(self, outcome: str, ms: float, mb: float) -> None:
        """Counts an input; `outcome` is RIGHT, ERROR or the description of a violation."""
        self.inputs += 1
        self.slowest_ms = max(self.slowest_ms, ms)
        self.highest_mb = max(self.highest_mb, mb)
        if outcome == RIGHT:
            self.right += 1
        elif outcome == ERROR:
            self.errors += 1
        else:
            self.violations += 1
            if outcome not in self.found:
                self.found.append(outcome)


@dataclasses.dataclass(frozen=True)
class Input:
    """One input: a seed, and the new content of one of its files."""

    seed: int
    target: str
    content: bytes

    @property
    def name(self) -> str:
        """File name in a corpus: number of the seed, path of the file, digest."""
        digest = hashlib.sha256(self.content).hexdigest()[:10]
        return f"{self.seed}~{self.target.replace('/', '~')}~{digest}"

    @staticmethod
    def load(path: Path) -> "Input":
        """Reads an input of a corpus."""
        seed, *target, _ = path.name.split("~")
        return Input(int(seed), "/".join(target), path.read_bytes())


@cache
def seeds_of(parser: Parser) -> list[Files]:
    """The seeds of a parser, made once."""
    return parser.seeds()


def make_input(parser: Parser, campaign_seed: int, number: int) -> Input:
    """Makes input `number` of a parser; the first inputs are the seeds themselves."""
    seeds = seeds_of(parser)
    rng = random.Random(f"{campaign_seed}/{parser.name}/{number}")
    if number < len(seeds):
        return Input(number, (target := parser.targets(seeds[number])[0]), seeds[number][target])
    which = rng.randrange(len(seeds))
    target = rng.choice(parser.targets(seeds[which]))
    content = seeds[which][target]
    if parser.reshape is not None and rng.random() < 0.5:
        content = parser.reshape(rng, content)
        if rng.random() < 0.8:
            return Input(which, target, content)
    others = [files[other] for files in seeds for other in parser.targets(files)]
    return Input(which, target, mutate(rng, content, others, parser.text))


def run_input(parser: Parser, one: Input, folder: Path) -> str:
    """Runs a parser on an input in an empty folder; returns RIGHT, ERROR or a violation."""
    for path, content in (seeds_of(parser)[one.seed] | {one.target: one.content}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.read(folder)
    except Violation as error:
        return f"wrong result: {error}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if parser.documents(error):
            return ERROR
        place = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in place if "site-packages" not in frame.filename] or place
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return f"{type(error).__name__} at {where}: {str(error)[:200]}"
    return RIGHT


def run_parser(
    name: str, campaign_seed: int, numbers: range, saved: Path | None, worker: "Worker"
) -> Tally:
    """Runs a parser on a range of inputs.

    Args:
        name: of the parser.
        campaign_seed: of the mutations.
        numbers: of the inputs.
        saved: folder in which inputs of violations are kept; None: nowhere.
        worker: a worker, which is restarted when it ends.
    """
    tally, number = Tally(name), numbers.start
    while number < numbers.stop:
        for at, outcome, ms, mb in worker.run(name, campaign_seed, range(number, numbers.stop)):
            if ms > 1000 * LIMIT_S:
                outcome = f"slow: {ms:.0f} ms"
            elif mb * 2**20 > LIMIT_BYTES:
                outcome = f"memory: {mb:.0f} MB"
            new = outcome not in (RIGHT, ERROR) and outcome not in tally.found
            tally.add(outcome, ms, mb)
            if new and saved is not None:
                one = make_input(parsers(worker.modules)[name], campaign_seed, at)
                save_input(saved, parsers(worker.modules)[name], one, outcome)
            number = at + 1
    return tally


def save_input(folder: Path, parser: Parser, one: Input, outcome: str) -> None:
    """Keeps an input, and what it did."""
    place = folder / parser.folder
    place.mkdir(parents=True, exist_ok=True)
    (place / one.name).write_bytes(one.content)
    with (folder / "violations.jsonl").open("a") as file:
        file.write(
            json.dumps({"parser": parser.name, "input": one.name, "outcome": outcome}) + "\n"
        )


class Worker:
    """A process that runs inputs; a context manager."""

    def __init__(self, modules: tuple[str, ...] = MODULES):
        self.modules = modules
        self._context = multiprocessing.get_context("spawn")
        self._process = None
        self._pipe = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception) -> None:
        self._stop()

    def run(self, name: str, campaign_seed: int, numbers: range) -> Iterator[tuple]:
        """Yields (number, outcome, ms, MB) per input; ends early after a crash or a hang."""
        if self._process is None:
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_work, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        self._pipe.send((self.modules, name, campaign_seed, numbers))
        ready = self._receive(600)  # its imports and seeds
        if ready is not True:
            raise RuntimeError(f"{name}: its seeds cannot be made or read: {ready}")
        for number in numbers:
            started, result = time.monotonic(), None
            while result is None:
                result = self._receive(1.0)
                wall, used = time.monotonic() - started, self._processor_time()
                if result is None and (wall > HANG_S or (wall > LIMIT_S and used > LIMIT_S)):
                    self._stop()
                    yield number, f"hang: {wall:.0f} s, no result", 0.0, 0.0
                    return
            if isinstance(result, str):
                self._stop()
                yield number, result, 0.0, 0.0
                return
            yield number, *result
            self._mark = self._total_time()

    def _receive(self, seconds: float):
        """A result; None: nothing yet; text: how the process ended."""
        try:
            return self._pipe.recv() if self._pipe.poll(seconds) else None
        except (EOFError, ConnectionError):
            self._process.join(10)
            code = self._process.exitcode
            name = signal.Signals(-code).name if code is not None and code < 0 else code
            return f"crash: the process ended with {name}"

    _mark = 0.0

    def _processor_time(self) -> float:
        return self._total_time() - self._mark

    def _total_time(self) -> float:
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return float("inf")
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def _work(pipe) -> None:
    """The worker: receives ranges of inputs, sends the result of each."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # decoders complain about damage
    os.dup2(quiet, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["JAX_PLATFORMS"] = "cpu"
    with contextlib.suppress(EOFError), _scratch() as base:
        while True:
            modules, name, campaign_seed, numbers = pipe.recv()
            # The imports and seeds of a parser are not the memory of an input.
            _limit_memory(None)
            try:
                parser = parsers(modules)[name]
                outcome = run_input(parser, make_input(parser, campaign_seed, 0), _fresh(base))
            except Exception:
                outcome = traceback.format_exc()
            pipe.send(outcome == RIGHT or outcome)
            _limit_memory(2 * LIMIT_BYTES)  # so that memory above the limit is measured
            for number in numbers:
                one, folder = make_input(parser, campaign_seed, number), _fresh(base)
                before = _memory_from_here()
                started = time.process_time()
                outcome = run_input(parser, one, folder)
                ms = 1000 * (time.process_time() - started)
                pipe.send((outcome, ms, max(0.0, (_status("VmHWM") - before) / 2**20)))


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=base, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _fresh(base: Path) -> Path:
    folder = base / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _limit_memory(more: int | None) -> None:
    """Makes allocations fail that need `more` bytes than the process has; None: no limit."""
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = hard if more is None else int(_status("VmSize")) + more
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _memory_from_here() -> float:
    """Resets the highest memory of the process; returns the memory now, in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return 1024.0 * int(text.partition(f"{name}:")[2].split()[0])
