// B1 to B10 with pg (node-postgres): named prepared statements on its pool. It has no
// bulk insert and no cursor of its own: arrays with unnest, and FETCH, are written out.
//
//   side_pg.mjs URL WORKLOAD SECONDS ROWS
import { load, runSide, checkSum } from './side_measure.mjs';
import * as shared from './side_nodejs_rows.mjs';

const [url, name, seconds, rowsText] = process.argv.slice(2);
const ROWS = Number(rowsText);
const SIZES = { b6: 4, b7: 8, b8: 4, b9: 4 };
const { Pool } = load('pg');
const pool = new Pool({ ...shared.optionsOf(url), max: SIZES[name] ?? 10 });

// A statement that is prepared under a name of its own.
const prepared = (key, text) => (client, values) =>
  client.query({ name: key, text, values });

const one = prepared('one', 'SELECT 1+1');
const types = prepared('types', `select typname, typnamespace, typowner, typlen, typbyval,
  typcategory, typispreferred, typisdefined, typdelim, typrelid, typelem, typarray
  from pg_type where typtypmod = $1 and typisdefined = $2`);
const series = prepared('series', 'SELECT i FROM generate_series(1, $1) AS i');
const blobs = prepared('blobs', 'SELECT * FROM blobs');
const lists = prepared('lists', 'SELECT * FROM lists');
const oneWorld = prepared('world', 'select id, randomnumber from world where id=$1');
const lock = prepared('lock', 'select randomnumber from accounts where id=$1 for update');
const update = prepared('update', 'update accounts set randomnumber=$1 where id=$2');
const page = prepared('page', 'select * from person where id > $1 order by id limit 25');

const rowsOf = (query, values) => async () => (await query(pool, values)).rows;
const valueOf = (text) => async () => (await pool.query(text)).rows[0].n;

const truncate = shared.sometimes((number) => pool.query(`TRUNCATE bulk_${number}`));
const records = Array(1000).fill(shared.BULK_ROW);

const insert = {
  async operation(number, _, weigh) {
    await truncate(number, weigh);
    const columns = shared.COLUMNS.map((key) => records.map((row) => row[key]));
    await pool.query({
      name: `insert_${number}`,
      text: `INSERT INTO bulk_${number} (a, b, c, d, e, f, g) SELECT * FROM
        unnest($1::int[], $2::int[], $3::int[], $4::text[], $5::float8[], $6::int[],
        $7::text[])`,
      values: columns,
    });
    return [1000, 0];
  },
};

async function world(_, random) {
  const [row] = (await oneWorld(pool, [random.next() % 10000 + 1])).rows;
  return [1, row.id + row.randomnumber];
}

async function transfer(number, random) {
  const id = random.next() % 156 * 64 + number;
  const client = await pool.connect();
  await client.query('BEGIN');
  const [row] = (await lock(client, [id])).rows;
  await update(client, [(row.randomnumber + id) % 10000 + 1, id]);
  await client.query('COMMIT');
  client.release();
  return [1, 0];
}

async function stream(_, __, weigh) {
  const want = weigh ? ROWS / 10 : ROWS;
  const client = await pool.connect();
  let sum = 0;
  await client.query('BEGIN');
  await client.query(`DECLARE c NO SCROLL CURSOR FOR
    select g, md5(g::text), g*1.5 from generate_series(1,${want}) g`);
  for (;;) {
    const { rows } = await client.query('FETCH 1000 FROM c');
    for (const row of rows) sum += row.g;
    if (rows.length < 1000) break;
  }
  await client.query('COMMIT');
  client.release();
  checkSum(sum, want);
  return [want, sum];
}

const workloads = {
  ...shared.readers({
    one: rowsOf(one), types: rowsOf(types, [-1, true]), series: rowsOf(series, [1000]),
    blobs: rowsOf(blobs), lists: rowsOf(lists),
  }),
  'b5-insert': { ...insert, check: valueOf(shared.bulkCheck(1)) },
  'b5-insert-10': { ...insert, workers: 10, check: valueOf(shared.bulkCheck(10)) },
  b6: { operation: world, workers: 64, warm: 20 },
  b7: { operation: transfer, workers: 16, warm: 10,
    check: valueOf(shared.ACCOUNTS_CHECK) },
  b8: {
    workers: 32, warm: 10, async operation(_, random) {
      const { rows } = await page(pool, [random.next() % 9975]);
      return [rows.length, shared.weighPeople(rows)];
    },
  },
  b9: {
    workers: 64, warm: 4, first: 0, async operation(number, random) {
      if (number > 0) return world(number, random);
      await pool.query('select pg_sleep(0.05)');
      return [1, 0];
    },
  },
  b10: { operation: stream, warm: 1 },
};

if (name === 'b7') await pool.query(shared.FILL_ACCOUNTS);
if (name.startsWith('b5')) await pool.query(shared.EMPTY_BULK);
await runSide(workloads[name], Number(seconds));
await pool.end();
