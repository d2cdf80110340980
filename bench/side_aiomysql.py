"""The MySQL workloads with aiomysql: all go through its pool.

side_aiomysql.py URL WORKLOAD SECONDS ROWS
"""
import sys

import aiomysql

import peer_measure as pm
import side_mysql_rows as mr
import side_rows as sr


class Programs:
    def __init__(self, pool, stream_rows):
        self.pool, self.stream_rows = pool, stream_rows

    async def query(self, sql, args=()):
        async with self.pool.acquire() as c, c.cursor() as cursor:
            await cursor.execute(sql, args)
            return await cursor.fetchall()

    async def lookup(self, _, random, weigh):
        (row,) = await self.query(mr.LOOKUP, mr.key(random))
        return 1, row[0] + len(row[1])

    async def read(self, _, random, weigh):
        rows = await self.query(mr.READ, mr.a_range(random))
        return len(rows), mr.weigh_mixed(rows) if weigh else 0

    async def scan(self, _, random, weigh):
        want, total = self.stream_rows // (10 if weigh else 1), 0
        async with self.pool.acquire() as c:
            async with c.cursor(aiomysql.SSCursor) as cursor:
                await cursor.execute(mr.SCAN, (want,))
                while rows := await cursor.fetchmany(1000):
                    for row in rows:
                        total += row[0]
        sr.check_sum(total, want)
        return want, total

    async def insert(self, _, random, weigh):
        rows = mr.records(weigh)
        async with self.pool.acquire() as c, c.cursor() as cursor:
            await cursor.execute("TRUNCATE fresh")
            await c.begin()
            await cursor.executemany(mr.INSERT, rows)
            await c.commit()
        return len(rows), 0

    async def check(self):
        return (await self.query(mr.CHECK_FRESH))[0][0]


async def main(url, name, seconds, rows):
    size = 8 if name == "mysql-pool" else 1
    pool = await aiomysql.create_pool(
        minsize=size, maxsize=size, autocommit=True, **mr.options(url))
    p = Programs(pool, rows)
    await {
        "mysql-lookup": lambda: pm.Side(p.lookup, 1, 512),
        "mysql-read": lambda: pm.Side(p.read, 1, 8),
        "mysql-scan": lambda: pm.Side(p.scan, 1, 1),
        "mysql-insert": lambda: pm.Side(p.insert, 1, 1, check=p.check),
        "mysql-pool": lambda: pm.Side(p.lookup, 64, 20),
    }[name]().run(seconds)
    pool.close()
    await pool.wait_closed()


pm.run_on_uvloop(main(sys.argv[1], sys.argv[2], float(sys.argv[3]),
                      int(sys.argv[4])))
