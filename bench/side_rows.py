"""What the Python peers of B1 to B10 share: SQL and the weights of rows."""

TYPES = ("select typname, typnamespace, typowner, typlen, typbyval, typcategory, "
         "typispreferred, typisdefined, typdelim, typrelid, typelem, typarray "
         "from pg_type where typtypmod = $1 and typisdefined = $2")
SERIES = "SELECT i FROM generate_series(1, $1) AS i"
WORLD = "select id, randomnumber from world where id=$1"
LOCK = "select randomnumber from accounts where id=$1 for update"
UPDATE = "update accounts set randomnumber=$1 where id=$2"
PAGE = "select * from person where id > $1 order by id limit 25"
STREAM = "select g, md5(g::text), g*1.5 from generate_series(1,$1::int) g"
INSERT = ("INSERT INTO bulk_{} (a, b, c, d, e, f, g) "
          "VALUES ($1, $2, $3, $4, $5, $6, $7)")
COLUMNS = ("a", "b", "c", "d", "e", "f", "g")
BULK_ROW = (10, 11, 10, "TESTTESTTEST", 10.333, 12341234, "123412341234")
BULK_CHECK = ("SELECT (count(*) + sum(a + b + c + f + length(d) + length(g)) "
              "+ sum(e)::int)::bigint FROM bulk_{}")
FILL_ACCOUNTS = ("TRUNCATE accounts", "INSERT INTO accounts SELECT * FROM world")
ACCOUNTS_CHECK = "SELECT sum(randomnumber * (id % 7))::bigint FROM accounts"
EMPTY_BULK = [f"TRUNCATE bulk_{i}" for i in range(1, 11)]


def weigh_one(rows):
    return sum(row[0] for row in rows)


def weigh_types(rows):
    return sum(2 + sum(v if isinstance(v, int) else len(v) for v in row)
               for row in rows)


def weigh_blobs(rows):
    return sum(len(row[0]) + row[0][0] for row in rows)


def weigh_lists(rows):
    return sum(len(row[0]) + row[0][0] + row[0][-1] for row in rows)


def weigh_person(r):
    return (r["id"] + len(r["first_name"]) + len(r["last_name"]) + len(r["sex"])
            + r["height"] + (r["birth_date"] is not None) + (r["weight"] or 0)
            + (r["update_time"] is not None))


def check_sum(total, rows):
    if total != rows * (rows + 1) // 2:
        raise AssertionError("rows are missing")
