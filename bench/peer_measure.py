"""What the Python peers share; measure.h and measure.lua are the same."""
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


class Measure:
    def start(self):
        self.wall, self.cpu = time.monotonic(), time.process_time()

    def stop(self):
        self.wall = time.monotonic() - self.wall
        self.cpu = time.process_time() - self.cpu

    def report(self, operations, rows, check):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f'{{"operations":{operations},"rows":{rows},"wall":{self.wall:.6f},'
              f'"cpu":{self.cpu:.6f},"check":{check % MODULUS},"peak_kib":{peak}}}')


def main(workloads, connect):
    """peer_NAME.py TARGET WORKLOAD COUNT. A workload gives rows and check."""
    target, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

    async def run():
        connection = await connect(target)
        measure = Measure()
        rows, check = await workloads[name](connection, count, measure)
        measure.report(1 if name == "insert_many" else count, rows, check)
        await connection.close()

    try:
        import uvloop
        uvloop.install()
    except ImportError:
        pass  # bench/run has said so
    asyncio.run(run())
