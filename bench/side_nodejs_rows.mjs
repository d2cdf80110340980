// What the two peers for PostgreSQL on Node.js share: SQL, rows and their weights.
export const COLUMNS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
export const BULK_ROW = {
  a: 10, b: 11, c: 10, d: 'TESTTESTTEST', e: 10.333, f: 12341234, g: '123412341234',
};
export const bulkCheck = (i) => `SELECT (count(*) + sum(a + b + c + f + length(d)
  + length(g)) + sum(e)::int)::bigint AS n FROM bulk_${i}`;
export const ACCOUNTS_CHECK =
  'SELECT sum(randomnumber * (id % 7))::bigint AS n FROM accounts';
export const FILL_ACCOUNTS =
  'TRUNCATE accounts; INSERT INTO accounts SELECT * FROM world';
export const EMPTY_BULK = Array.from({ length: 10 }, (_, i) => `TRUNCATE bulk_${i + 1}`)
  .join('; ');

const weighValue = (v) => (typeof v === 'string' ? v.length : Number(v));
const sum = (rows, weigh) => rows.reduce((n, row) => n + weigh(row), 0);

export const weighFirst = (rows) => sum(rows, (row) => Object.values(row)[0]);
export const weighTypes = (rows) => sum(rows, (row) =>
  2 + Object.values(row).reduce((n, v) => n + weighValue(v), 0));
export const weighBlobs = (rows) => sum(rows, (row) => row.b.length + row.b[0]);
export const weighLists = (rows) => sum(rows, (row) =>
  row.a.length + row.a[0] + row.a[row.a.length - 1]);
export const weighPeople = (rows) => sum(rows, (r) =>
  r.id + r.first_name.length + r.last_name.length + r.sex.length + r.height
  + (r.birth_date ? 1 : 0) + (r.weight ?? 0) + (r.update_time ? 1 : 0));

// Calls fn before every 50th operation of a worker that is measured.
export function sometimes(fn) {
  const batches = [];
  return async (number, weigh) => {
    if (weigh) return;
    batches[number] = (batches[number] ?? -1) + 1;
    if (batches[number] % 50 === 0) await fn(number);
  };
}

// A URL of PostgreSQL as both drivers' options.
export function optionsOf(text) {
  const url = new URL(text.replace('@/', '@localhost/'));
  const port = Number(url.searchParams.get('port') ?? url.port);
  return {
    host: url.searchParams.get('host') ?? url.hostname, port,
    database: url.pathname.slice(1), user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    ssl: url.searchParams.get('sslmode') === 'require'
      ? { rejectUnauthorized: false } : false,
  };
}

// Reads that differ only in what is asked: { workload: [query, weigh] }.
export function readers(ask) {
  const reader = (query, weighRows) => ({
    workers: 10, async operation(_, __, weigh) {
      const rows = await query();
      return [rows.length, weigh ? weighRows(rows) : 0];
    },
  });
  return {
    b1: { ...reader(ask.one, weighFirst), warm: 20 },
    'b1-single': { ...reader(ask.one, weighFirst), workers: 1, warm: 20 },
    b2: reader(ask.types, weighTypes),
    b3: reader(ask.series, weighFirst),
    'b4-bytea': reader(ask.blobs, weighBlobs),
    'b4-arrays': reader(ask.lists, weighLists),
  };
}
