"""The workloads of crud.lua with asyncpg.

peer_asyncpg.py URL WORKLOAD COUNT
"""
import datetime

import asyncpg

import peer_measure as pm

INSERT = "INSERT INTO fresh (grp, score, name) VALUES ($1, $2, $3)"
SELECT = ("SELECT id, grp, score, name FROM items WHERE grp = $1 AND score >= $2 "
          "ORDER BY id")
PAGE = ("SELECT id, at, title FROM walk WHERE (at, id) > ($1, $2) "
        "ORDER BY at, id LIMIT $3")


async def insert(c, count, measure):
    await c.execute("TRUNCATE fresh")
    rows = 0
    measure.start()
    for grp, score, name in pm.items(count):
        row = await c.fetchrow(INSERT + " RETURNING *", grp, score, name)
        rows += row["name"] == name
    measure.stop()
    return rows, await c.fetchval(pm.CHECK_FRESH)


async def insert_many(c, count, measure):
    await c.execute("TRUNCATE fresh")
    records = list(pm.items(count))
    measure.start()
    await c.executemany(INSERT, records)
    measure.stop()
    return count, await c.fetchval(pm.CHECK_FRESH)


async def update(c, count, measure):
    await c.execute("TRUNCATE counters")
    await c.execute(
        "INSERT INTO counters SELECT i, 0 FROM generate_series(1, 10000) i")
    await c.execute("ANALYZE counters")
    random, rows = pm.random_numbers(), 0
    measure.start()
    for i in range(1, count + 1):
        tag = await c.execute("UPDATE counters SET n = $1 WHERE id = $2", i,
                              next(random) % pm.LOOKUP_ROWS + 1)
        rows += tag == "UPDATE 1"
    measure.stop()
    return rows, await c.fetchval(pm.CHECK_COUNTERS)


async def select(c, count, measure):
    random, rows, check = pm.random_numbers(), 0, 0
    measure.start()
    for _ in range(count):
        got = await c.fetch(SELECT, next(random) % pm.ITEM_GROUPS, 50.0)
        for row in got:
            check += row["id"] + len(row["name"])
        rows += len(got)
    measure.stop()
    return rows, check


async def walk(c, depth, count, measure):
    at, key = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc), 0
    if depth > 0:
        key, at = await c.fetchrow(
            "SELECT id, at FROM walk ORDER BY at, id LIMIT 1 OFFSET $1", depth - 1)
    rows, check = 0, 0
    measure.start()
    for _ in range(count):
        got = await c.fetch(PAGE, at, key, pm.PAGE_ROWS + 1)
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
}, asyncpg.connect)
