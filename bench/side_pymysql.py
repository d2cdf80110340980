"""The MySQL workloads with PyMySQL, which blocks: one connection, no pool.

side_pymysql.py URL WORKLOAD SECONDS ROWS
"""
import asyncio
import sys

import pymysql
from pymysql.cursors import SSCursor

import peer_measure as pm
import side_mysql_rows as mr
import side_rows as sr


class Programs:
    def __init__(self, connection, stream_rows):
        self.c, self.stream_rows = connection, stream_rows

    def query(self, sql, args=()):
        with self.c.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    async def lookup(self, _, random, weigh):
        (row,) = self.query(mr.LOOKUP, mr.key(random))
        return 1, row[0] + len(row[1])

    async def read(self, _, random, weigh):
        rows = self.query(mr.READ, mr.a_range(random))
        return len(rows), mr.weigh_mixed(rows) if weigh else 0

    async def scan(self, _, random, weigh):
        want, total = self.stream_rows // (10 if weigh else 1), 0
        with self.c.cursor(SSCursor) as cursor:
            cursor.execute(mr.SCAN, (want,))
            for row in cursor:
                total += row[0]
        sr.check_sum(total, want)
        return want, total

    async def insert(self, _, random, weigh):
        rows = mr.records(weigh)
        with self.c.cursor() as cursor:
            cursor.execute("TRUNCATE fresh")
            self.c.begin()
            cursor.executemany(mr.INSERT, rows)
            self.c.commit()
        return len(rows), 0

    async def check(self):
        return self.query(mr.CHECK_FRESH)[0][0]


def main(url, name, seconds, rows):
    connection = pymysql.connect(autocommit=True, **mr.options(url))
    p = Programs(connection, rows)
    side = {
        "mysql-lookup": lambda: pm.Side(p.lookup, 1, 512),
        "mysql-read": lambda: pm.Side(p.read, 1, 8),
        "mysql-scan": lambda: pm.Side(p.scan, 1, 1),
        "mysql-insert": lambda: pm.Side(p.insert, 1, 1, check=p.check),
    }[name]()
    asyncio.run(side.run(seconds))
    connection.close()


main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
