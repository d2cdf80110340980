// B1 to B10 with postgres (postgres.js), which pipelines by itself.
//
//   side_postgresjs.mjs URL WORKLOAD SECONDS ROWS
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { load, runSide, checkSum } from './side_measure.mjs';
import * as shared from './side_nodejs_rows.mjs';

const [url, name, seconds, rowsText] = process.argv.slice(2);
const ROWS = Number(rowsText);
const SIZES = { b6: 4, b7: 8, b8: 4, b9: 4 };
const single = name === 'b10' || name.endsWith('-single') || name === 'b5-copy'
  || name === 'b5-insert';
const sql = load('postgres')({
  ...shared.optionsOf(url), max: SIZES[name] ?? (single ? 1 : 10), onnotice() {},
});

const truncate = shared.sometimes((number) => sql.unsafe(`TRUNCATE bulk_${number}`));
const records = Array(1000).fill(shared.BULK_ROW);

function* bulkText() {
  for (let chunk = 0; chunk < 10; chunk++) {
    let text = '';
    for (const r of records) {
      text += `${r.a}\t${r.b}\t${r.c}\t${r.d}\t${r.e}\t${r.f}\t${r.g}\n`;
    }
    yield text;
  }
}

const copy = {
  async operation(number, _, weigh) {
    await truncate(number, weigh);
    const stream = await sql`copy ${sql(`bulk_${number}`)} (a, b, c, d, e, f, g)
      from stdin`.writable();
    await pipeline(Readable.from(bulkText()), stream);
    return [10000, 0];
  },
};

const insert = {
  async operation(number, _, weigh) {
    await truncate(number, weigh);
    await sql`insert into ${sql(`bulk_${number}`)} ${sql(records)}`;
    return [1000, 0];
  },
};

const valueOf = (text) => async () => (await sql.unsafe(text))[0].n;

async function world(_, random) {
  const [row] = await sql`select id, randomnumber from world
    where id=${random.next() % 10000 + 1}`;
  return [1, row.id + row.randomnumber];
}

async function transfer(number, random) {
  const id = random.next() % 156 * 64 + number;
  await sql.begin(async (tx) => {
    const [row] = await tx`select randomnumber from accounts where id=${id} for update`;
    const value = (row.randomnumber + id) % 10000 + 1;
    await tx`update accounts set randomnumber=${value} where id=${id}`;
  });
  return [1, 0];
}

async function stream(_, __, weigh) {
  const want = weigh ? ROWS / 10 : ROWS;
  let sum = 0;
  await sql`select g, md5(g::text), g*1.5 from generate_series(1,${want}::int) g`
    .cursor(1000, (rows) => { for (const row of rows) sum += row.g; });
  checkSum(sum, want);
  return [want, sum];
}

const workloads = {
  ...shared.readers({
    one: () => sql`SELECT 1+1`,
    types: () => sql`select typname, typnamespace, typowner, typlen, typbyval,
      typcategory, typispreferred, typisdefined, typdelim, typrelid, typelem, typarray
      from pg_type where typtypmod = ${-1} and typisdefined = ${true}`,
    series: () => sql`SELECT i FROM generate_series(1, ${1000}) AS i`,
    blobs: () => sql`SELECT * FROM blobs`,
    lists: () => sql`SELECT * FROM lists`,
  }),
  'b5-copy': { ...copy, check: valueOf(shared.bulkCheck(1)) },
  'b5-copy-10': { ...copy, workers: 10, check: valueOf(shared.bulkCheck(10)) },
  'b5-insert': { ...insert, check: valueOf(shared.bulkCheck(1)) },
  'b5-insert-10': { ...insert, workers: 10, check: valueOf(shared.bulkCheck(10)) },
  b6: { operation: world, workers: 64, warm: 20 },
  b7: { operation: transfer, workers: 16, warm: 10,
    check: valueOf(shared.ACCOUNTS_CHECK) },
  b8: {
    workers: 32, warm: 10, async operation(_, random) {
      const rows = await sql`select * from person where id > ${random.next() % 9975}
        order by id limit 25`;
      return [rows.length, shared.weighPeople(rows)];
    },
  },
  b9: {
    workers: 64, warm: 4, first: 0, async operation(number, random) {
      if (number > 0) return world(number, random);
      await sql`select pg_sleep(0.05)`;
      return [1, 0];
    },
  },
  b10: { operation: stream, warm: 1 },
};

if (name === 'b7') await sql.unsafe(shared.FILL_ACCOUNTS);
if (name.startsWith('b5')) await sql.unsafe(shared.EMPTY_BULK);
await runSide(workloads[name], Number(seconds));
await sql.end();
