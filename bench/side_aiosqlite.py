"""The side-by-side workloads on SQLite with aiosqlite.

side_aiosqlite.py FILE WORKLOAD SECONDS ROWS
"""
import sys

import aiosqlite

import peer_measure as pm
import side_rows as sr

LOOKUP = "SELECT id, val FROM lookup WHERE id = ?"
SCAN = "SELECT id AS g, name, ratio FROM mixed WHERE id <= ?"
INSERT = "INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)"


class Programs:
    def __init__(self, connection, scan_rows):
        self.c, self.scan_rows = connection, scan_rows

    async def lookup(self, _, random, weigh):
        async with self.c.execute(LOOKUP, (random.next() % 10000 + 1,)) as cursor:
            row = await cursor.fetchone()
        return 1, row["id"] + len(row["val"])

    async def scan(self, _, random, weigh):
        want, total = self.scan_rows // 10 if weigh else self.scan_rows, 0
        async with self.c.execute(SCAN, (want,)) as cursor:
            async for row in cursor:
                total += row["g"]
        sr.check_sum(total, want)
        return want, total

    async def insert(self, _, random, weigh):
        await self.c.execute("BEGIN IMMEDIATE")
        for i in range(1, 1001):
            await self.c.execute(
                INSERT, (random.next() % pm.ITEM_GROUPS, i / 8, f"item number {i}"))
        await self.c.execute("COMMIT")
        return 1000, 0

    async def check(self):
        async with self.c.execute(pm.CHECK_FRESH) as cursor:
            return (await cursor.fetchone())[0]


async def main(path, name, seconds, rows):
    c = await aiosqlite.connect(path, isolation_level=None, iter_chunk_size=1000)
    c.row_factory = aiosqlite.Row
    await c.execute("PRAGMA synchronous = NORMAL")
    p = Programs(c, rows)
    if name == "sqlite-insert":
        await c.execute("DELETE FROM fresh")
        side = pm.Side(p.insert, check=p.check)
    elif name == "sqlite-lookup":
        side = pm.Side(p.lookup, warm=512)
    else:
        side = pm.Side(p.scan, warm=1)
    await side.run(seconds)
    await c.close()


pm.run_on_uvloop(main(sys.argv[1], sys.argv[2], float(sys.argv[3]),
                      int(sys.argv[4])))
