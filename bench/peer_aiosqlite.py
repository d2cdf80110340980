"""The workloads of crud.lua with aiosqlite.

peer_aiosqlite.py FILE WORKLOAD COUNT
"""
import aiosqlite

import peer_measure as pm

INSERT = "INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)"
SELECT = ("SELECT id, grp, score, name FROM items WHERE grp = ? AND score >= ? "
          "ORDER BY id")
PAGE = ("SELECT id, at, title FROM walk WHERE (at, id) > (?, ?) "
        "ORDER BY at, id LIMIT ?")


async def connect(path):
    c = await aiosqlite.connect(path, isolation_level=None)
    c.row_factory = aiosqlite.Row
    await c.execute("PRAGMA synchronous = NORMAL")
    return c


async def value(c, sql):
    async with c.execute(sql) as cursor:
        return (await cursor.fetchone())[0]


async def insert(c, count, measure):
    await c.execute("DELETE FROM fresh")
    rows = 0
    measure.start()
    for item in pm.items(count):
        got = await c.execute_fetchall(INSERT + " RETURNING *", item)
        rows += next(iter(got))["name"] == item[2]
    measure.stop()
    return rows, await value(c, pm.CHECK_FRESH)


async def insert_many(c, count, measure):
    await c.execute("DELETE FROM fresh")
    records = list(pm.items(count))
    measure.start()
    await c.execute("BEGIN IMMEDIATE")
    await c.executemany(INSERT, records)
    await c.execute("COMMIT")
    measure.stop()
    return count, await value(c, pm.CHECK_FRESH)


async def update(c, count, measure):
    await c.execute("UPDATE counters SET n = 0")
    random, rows = pm.random_numbers(), 0
    measure.start()
    for i in range(1, count + 1):
        cursor = await c.execute("UPDATE counters SET n = ? WHERE id = ?",
                                 (i, next(random) % pm.LOOKUP_ROWS + 1))
        rows += cursor.rowcount
    measure.stop()
    return rows, await value(c, pm.CHECK_COUNTERS)


async def select(c, count, measure):
    random, rows, check = pm.random_numbers(), 0, 0
    measure.start()
    for _ in range(count):
        got = await c.execute_fetchall(
            SELECT, (next(random) % pm.ITEM_GROUPS, 50.0))
        for row in got:
            check += row["id"] + len(row["name"])
        rows += len(got)
    measure.stop()
    return rows, check


async def walk(c, depth, count, measure):
    at, key = "", 0
    if depth > 0:
        (key, at), = await c.execute_fetchall(
            "SELECT id, at FROM walk ORDER BY at, id LIMIT 1 OFFSET ?", (depth - 1,))
    rows, check = 0, 0
    measure.start()
    for _ in range(count):
        got = list(await c.execute_fetchall(PAGE, (at, key, pm.PAGE_ROWS + 1)))
        assert len(got) == pm.PAGE_ROWS + 1
        got.pop()
        for row in got:
            check += row["id"] + len(row["title"])
        rows += len(got)
        at, key = got[-1]["at"], got[-1]["id"]
    measure.stop()
    return rows, check


pm.main({
    "insert": insert,
    "insert_many": insert_many,
    "update": update,
    "select": select,
    "page": lambda c, count, m: walk(c, 0, count, m),
    "page_deep": lambda c, count, m: walk(c, pm.PAGE_DEPTH, count, m),
}, connect)
