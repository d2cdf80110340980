"""What the Python peers share; measure.h and measure.lua are the same."""
import array
import asyncio
import resource
import sys
import time

LOOKUP_ROWS = 10000
ITEM_GROUPS = 2000
PAGE_ROWS = 50
PAGE_DEPTH = 1000000
MODULUS = 1000000007
CHECK_FRESH = (
    "SELECT CAST(count(*) + 3 * sum(grp) + 7 * sum(length(name)) AS bigint)"
    " FROM fresh")
CHECK_COUNTERS = "SELECT CAST(sum(n * (id % 7)) AS bigint) FROM counters"


def random_numbers():
    """Park and Miller's generator."""
    state = 1
    while True:
        state = state * 16807 % 2147483647
        yield state


def items(count):
    """The rows of the writing workloads: grp, score, name."""
    for i, number in zip(range(1, count + 1), random_numbers()):
        yield number % ITEM_GROUPS, i / 8, f"item number {i}"


class Random:
    """The same as an object: next() is the next number."""

    def __init__(self, state):
        self.state = state

    def next(self):
        self.state = self.state * 16807 % 2147483647
        return self.state


class Measure:
    def start(self):
        self.wall, self.cpu = time.monotonic(), time.process_time()

    def stop(self):
        self.wall = time.monotonic() - self.wall
        self.cpu = time.process_time() - self.cpu

    def report(self, operations, rows, check):
        print(f'{{"operations":{operations},"rows":{rows},"wall":{self.wall:.6f},'
              f'"cpu":{self.cpu:.6f},"check":{check % MODULUS},"peak_kib":{peak_kib()}}}')


def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Side:
    """B1 to B10: warms up with operations whose rows are weighed, then measures
    for some seconds. An operation is called with the worker's number, its Random
    and whether to weigh; it gives rows and weight."""

    def __init__(self, operation, workers=1, warm=2, first=1, check=None):
        self.operation, self.workers, self.warm = operation, workers, warm
        self.first, self.check = first, check
        self.laps = array.array("d")
        self.rows = self.weight = self.operations = 0

    async def work(self, number, random, quota, deadline):
        clock, operation = time.perf_counter, self.operation
        done, at = 0, clock()
        while True:
            rows, weight = await operation(number, random, quota > 0)
            now = clock()
            done += 1
            if quota > 0:
                self.weight += weight
            if number > 0:
                self.laps.append(now - at)
                self.rows += rows
                self.operations += 1
            at = now
            if done >= quota if quota > 0 else now >= deadline:
                return

    async def phase(self, randoms, quota, deadline):
        self.laps, self.rows, self.operations = array.array("d"), 0, 0
        await asyncio.gather(*(
            self.work(i + self.first, random, quota, deadline)
            for i, random in enumerate(randoms)))

    async def run(self, seconds):
        randoms = [Random(i + 1) for i in range(self.workers)]
        start_kib = peak_kib()
        await self.phase(randoms, self.warm, 0)
        check = await self.check() if self.check else self.weight
        measure = Measure()
        measure.start()
        await self.phase(randoms, 0, time.perf_counter() + seconds)
        measure.stop()
        self.report(measure, check, start_kib)

    def report(self, measure, check, start_kib):
        laps = sorted(self.laps)
        at = {f"p{digits}": laps[int(len(laps) * share)] for digits, share in
              (("50", 0.5), ("99", 0.99), ("999", 0.999))}
        print(f'{{"operations":{self.operations},"rows":{self.rows},'
              f'"wall":{measure.wall:.6f},"cpu":{measure.cpu:.6f},'
              f'"check":{check % MODULUS},"peak_kib":{peak_kib()},'
              f'"start_kib":{start_kib},"p50":{at["p50"]:.9f},'
              f'"p99":{at["p99"]:.9f},"p999":{at["p999"]:.9f},'
              f'"longest":{laps[-1]:.9f},"slow":{sum(t > 0.2 for t in laps)}}}')


def run_on_uvloop(coroutine):
    try:
        import uvloop
        uvloop.install()
    except ImportError:
        pass  # bench/run has said so
    asyncio.run(coroutine)


def main(workloads, connect):
    """peer_NAME.py TARGET WORKLOAD COUNT. A workload gives rows and check."""
    target, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

    async def run():
        connection = await connect(target)
        measure = Measure()
        rows, check = await workloads[name](connection, count, measure)
        measure.report(1 if name == "insert_many" else count, rows, check)
        await connection.close()

    run_on_uvloop(run())
