"""B1 to B10 with psycopg 3 (async, prepared, binary): a connection for each worker,
from b6 on psycopg_pool.

side_psycopg.py URL WORKLOAD SECONDS ROWS
"""
import re
import sys

import psycopg
from psycopg.rows import dict_row, tuple_row
from psycopg_pool import AsyncConnectionPool

import peer_measure as pm
import side_rows as sr


def with_percents(sql):
    return re.sub(r"\$\d+", "%s", sql)


class Programs:
    def __init__(self, connections, pool, stream_rows):
        self.connections, self.pool = connections, pool
        self.stream_rows = stream_rows
        self.batches = [0] * 11

    def reader(self, sql, args, weigh_rows):
        sql = with_percents(sql)

        async def operation(number, _, weigh):
            cursor = self.connections[number - 1].cursor(
                binary=True, row_factory=tuple_row if weigh else dict_row)
            await cursor.execute(sql, args, prepare=True)
            rows = await cursor.fetchall()
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
        columns = ", ".join(sr.COLUMNS)
        async with c.cursor() as cursor, cursor.copy(
                f"COPY bulk_{number} ({columns}) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "int4", "int4", "text", "float8", "int4", "text"])
            for _ in range(10000):
                await copy.write_row(sr.BULK_ROW)
        return 10000, 0

    async def insert(self, number, _, weigh):
        c = self.connections[number - 1]
        await self.truncate(c, number, weigh)
        async with c.transaction(), c.cursor() as cursor:
            await cursor.executemany(
                with_percents(sr.INSERT.format(number)), [sr.BULK_ROW] * 1000)
        return 1000, 0

    async def fetch(self, c, sql, args):
        cursor = c.cursor(binary=True, row_factory=dict_row)
        await cursor.execute(with_percents(sql), args, prepare=True)
        return await cursor.fetchall()

    async def world(self, _, random, weigh):
        async with self.pool.connection() as c:
            row, = await self.fetch(c, sr.WORLD, (random.next() % 10000 + 1,))
        return 1, row["id"] + row["randomnumber"]

    async def transfer(self, number, random, weigh):
        key = random.next() % 156 * 64 + number
        async with self.pool.connection() as c, c.transaction():
            row, = await self.fetch(c, sr.LOCK, (key,))
            await c.execute(
                with_percents(sr.UPDATE),
                ((row["randomnumber"] + key) % 10000 + 1, key), prepare=True)
        return 1, 0

    async def page(self, _, random, weigh):
        async with self.pool.connection() as c:
            rows = await self.fetch(c, sr.PAGE, (random.next() % 9975,))
        return len(rows), sum(map(sr.weigh_person, rows))

    async def fair(self, number, random, weigh):
        if number > 0:
            return await self.world(number, random, weigh)
        async with self.pool.connection() as c:
            await c.execute("select pg_sleep(0.05)")
        return 1, 0

    async def stream(self, _, random, weigh):
        want = self.stream_rows // 10 if weigh else self.stream_rows
        c, total = self.connections[0], 0
        async with c.transaction(), c.cursor(
                "stream", binary=True, row_factory=dict_row) as cursor:
            cursor.itersize = 1000
            await cursor.execute(with_percents(sr.STREAM), (want,))
            async for row in cursor:
                total += row["g"]
        sr.check_sum(total, want)
        return want, total

    def check(self, sql):
        async def value():
            if self.pool:
                async with self.pool.connection() as c:
                    return (await (await c.execute(sql)).fetchone())[0]
            return (await (await self.connections[0].execute(sql)).fetchone())[0]
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
    fill = {"b7": sr.FILL_ACCOUNTS}.get(
        name, sr.EMPTY_BULK if name.startswith("b5") else ())
    if name in POOLS:
        pool = AsyncConnectionPool(
            url, min_size=POOLS[name], max_size=POOLS[name],
            kwargs={"autocommit": True}, open=False)
        await pool.open()
        await pool.wait()
        async with pool.connection() as c:
            for sql in fill:
                await c.execute(sql)
    else:
        connections = [await psycopg.AsyncConnection.connect(url, autocommit=True)
                       for _ in range(10)]
        for sql in fill:
            await connections[0].execute(sql)
    await workload(Programs(connections, pool, rows), name).run(seconds)
    for c in connections:
        await c.close()
    if pool:
        await pool.close()


pm.run_on_uvloop(main(sys.argv[1], sys.argv[2], float(sys.argv[3]),
                      int(sys.argv[4])))
