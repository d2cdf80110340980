"""What the Python peers of the MySQL workloads share: SQL, weights, the URL."""
import urllib.parse

import peer_measure as pm

LOOKUP = "SELECT id, val FROM lookup WHERE id = %s"
READ = ("SELECT id, big, ratio, name, at, note FROM mixed "
        "WHERE id BETWEEN %s AND %s")
SCAN = "SELECT id AS g, name, ratio FROM mixed WHERE id <= %s"
INSERT = "INSERT INTO fresh (grp, score, name) VALUES (%s, %s, %s)"
CHECK_FRESH = pm.CHECK_FRESH.replace("bigint", "SIGNED")
RECORDS = [(i % pm.ITEM_GROUPS, i / 8, f"item number {i}")
           for i in range(1, 100001)]


def options(url):
    """Of a connection by a socket, as both modules call them."""
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qs(parts.query)
    return {"unix_socket": query["socket"][0], "user": parts.username,
            "password": parts.password, "db": parts.path[1:],
            "charset": "utf8mb4"}


def key(random):
    return (random.next() % pm.LOOKUP_ROWS + 1,)


def a_range(random):
    first = random.next() % 900000 + 1
    return first, first + 999


def weigh_mixed(rows):
    return sum(r[0] + r[1] + int(r[2] * 8) + len(r[3]) + r[4].microsecond
               + (len(r[5]) if r[5] is not None else 0) for r in rows)


def records(weigh):
    return RECORDS[:10000] if weigh else RECORDS
