"""B1 to B10 with asyncpg: a connection for each worker, from b6 on a pool.

side_asyncpg.py URL WORKLOAD SECONDS ROWS
"""
import asyncio
import sys

import asyncpg

import peer_measure as pm
import side_rows as sr


class Programs:
    def __init__(self, connections, pool, stream_rows):
        self.connections, self.pool = connections, pool
        self.stream_rows = stream_rows
        self.batches = [0] * 11
        self.records = [sr.BULK_ROW] * 10000

    def reader(self, sql, args, weigh_rows):
        async def operation(number, _, weigh):
            rows = await self.connections[number - 1].fetch(sql, *args)
            return len(rows), weigh_rows(rows) if weigh else 0
        return operation

    async def truncate(self, c, number, weigh):
        if not weigh:
            if self.batches[number] % 50 == 0:
                await c.execute(f"TRUNCATE bulk_{number}")
            self.batches[number] += 1

    async def copy(self, number, _, weigh):
        c = self.connections[number - 1]
        await self.truncate(c, number, weigh)
        await c.copy_records_to_table(
            f"bulk_{number}", records=self.records, columns=sr.COLUMNS)
        return 10000, 0

    async def insert(self, number, _, weigh):
        c = self.connections[number - 1]
        await self.truncate(c, number, weigh)
        await c.executemany(sr.INSERT.format(number), self.records[:1000])
        return 1000, 0

    async def world(self, _, random, weigh):
        row = await self.pool.fetchrow(sr.WORLD, random.next() % 10000 + 1)
        return 1, row["id"] + row["randomnumber"]

    async def transfer(self, number, random, weigh):
        key = random.next() % 156 * 64 + number
        async with self.pool.acquire() as c, c.transaction():
            value = await c.fetchval(sr.LOCK, key)
            await c.execute(sr.UPDATE, (value + key) % 10000 + 1, key)
        return 1, 0

    async def page(self, _, random, weigh):
        rows = await self.pool.fetch(sr.PAGE, random.next() % 9975)
        return len(rows), sum(map(sr.weigh_person, rows))

    async def fair(self, number, random, weigh):
        if number > 0:
            return await self.world(number, random, weigh)
        await self.pool.execute("select pg_sleep(0.05)")
        return 1, 0

    async def stream(self, _, random, weigh):
        want = self.stream_rows // 10 if weigh else self.stream_rows
        c, total = self.connections[0], 0
        async with c.transaction():
            async for row in c.cursor(sr.STREAM, want, prefetch=1000):
                total += row["g"]
        sr.check_sum(total, want)
        return want, total

    def check(self, sql):
        async def value():
            c = self.pool or self.connections[0]
            return await c.fetchval(sql)
        return value


def workload(p, name):
    ones = p.reader("SELECT 1+1", (), sr.weigh_one)
    bulk = p.check(sr.BULK_CHECK.format(1)), p.check(sr.BULK_CHECK.format(10))
    return {
        "b1": lambda: pm.Side(ones, 10, 20),
        "b1-single": lambda: pm.Side(ones, 1, 20),
        "b2": lambda: pm.Side(
            p.reader(sr.TYPES, (-1, True), sr.weigh_types), 10),
        "b3": lambda: pm.Side(p.reader(sr.SERIES, (1000,), sr.weigh_one), 10),
        "b4-bytea": lambda: pm.Side(
            p.reader("SELECT * FROM blobs", (), sr.weigh_blobs), 10),
        "b4-arrays": lambda: pm.Side(
            p.reader("SELECT * FROM lists", (), sr.weigh_lists), 10),
        "b5-copy": lambda: pm.Side(p.copy, 1, check=bulk[0]),
        "b5-copy-10": lambda: pm.Side(p.copy, 10, check=bulk[1]),
        "b5-insert": lambda: pm.Side(p.insert, 1, check=bulk[0]),
        "b5-insert-10": lambda: pm.Side(p.insert, 10, check=bulk[1]),
        "b6": lambda: pm.Side(p.world, 64, 20),
        "b7": lambda: pm.Side(
            p.transfer, 16, 10, check=p.check(sr.ACCOUNTS_CHECK)),
        "b8": lambda: pm.Side(p.page, 32, 10),
        "b9": lambda: pm.Side(p.fair, 64, 4, first=0),
        "b10": lambda: pm.Side(p.stream, 1, 1),
    }[name]()


POOLS = {"b6": 4, "b7": 8, "b8": 4, "b9": 4}


async def main(url, name, seconds, rows):
    pool, connections = None, []
    if name in POOLS:
        pool = await asyncpg.create_pool(
            url, min_size=POOLS[name], max_size=POOLS[name])
    else:
        connections = [await asyncpg.connect(url) for _ in range(10)]
    fill = {"b7": sr.FILL_ACCOUNTS}.get(
        name, sr.EMPTY_BULK if name.startswith("b5") else ())
    for sql in fill:
        await (pool or connections[0]).execute(sql)
    await workload(Programs(connections, pool, rows), name).run(seconds)
    for c in connections:
        await c.close()
    if pool:
        await pool.close()


pm.run_on_uvloop(main(sys.argv[1], sys.argv[2], float(sys.argv[3]),
                      int(sys.argv[4])))
