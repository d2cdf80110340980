// The MySQL workloads with mysql2: its pool, and prepared statements (execute).
//
//   side_mysql2.mjs URL WORKLOAD SECONDS ROWS
import { load, runSide, checkSum, CHECK_FRESH, ITEM_GROUPS } from './side_measure.mjs';

const [urlText, name, seconds, rowsText] = process.argv.slice(2);
const ROWS = Number(rowsText);
const url = new URL(urlText.replace('@/', '@localhost/'));
const pool = load('mysql2').createPool({
  socketPath: url.searchParams.get('socket'), user: url.username, password: url.password,
  database: url.pathname.slice(1), charset: 'utf8mb4', dateStrings: true,
  connectionLimit: name === 'mysql-pool' ? 8 : 1,
});
const db = pool.promise();
const LOOKUP = 'SELECT id, val FROM lookup WHERE id = ?';
const READ = 'SELECT id, big, ratio, name, at, note FROM mixed WHERE id BETWEEN ? AND ?';
const SCAN = 'SELECT id AS g, name, ratio FROM mixed WHERE id <= ?';
const records = Array.from({ length: 100000 }, (_, i) =>
  [(i + 1) % ITEM_GROUPS, (i + 1) / 8, `item number ${i + 1}`]);

const weighMixed = (rows) => rows.reduce((weight, r) =>
  (weight + r.id + r.big + Math.floor(r.ratio * 8) + r.name.length
    + Number(r.at.slice(20, 26)) + (r.note?.length ?? 0)) % 1000000007, 0);

async function lookup(_, random) {
  const [[row]] = await db.execute(LOOKUP, [random.next() % 10000 + 1]);
  return [1, row.id + row.val.length];
}

async function read(_, random, weigh) {
  const first = random.next() % 900000 + 1;
  const [rows] = await db.execute(READ, [first, first + 999]);
  return [rows.length, weigh ? weighMixed(rows) : 0];
}

async function scan(_, __, weigh) {
  const want = weigh ? ROWS / 10 : ROWS;
  const c = await db.getConnection();
  let sum = 0;
  for await (const row of c.connection.execute(SCAN, [want]).stream()) sum += row.g;
  c.release();
  checkSum(sum, want);
  return [want, sum];
}

async function insert(_, __, weigh) {
  const rows = weigh ? records.slice(0, 10000) : records;
  await db.query('TRUNCATE fresh');
  await db.query('INSERT INTO fresh (grp, score, name) VALUES ?', [rows]);
  return [rows.length, 0];
}

async function check() {
  const [[row]] = await db.query(`${CHECK_FRESH.replace('bigint', 'SIGNED')
    .replace(' FROM', ' AS n FROM')}`);
  return row.n;
}

await runSide({
  'mysql-lookup': { operation: lookup, warm: 512 },
  'mysql-read': { operation: read, warm: 8 },
  'mysql-scan': { operation: scan, warm: 1 },
  'mysql-insert': { operation: insert, warm: 1, check },
  'mysql-pool': { operation: lookup, workers: 64, warm: 20 },
}[name], Number(seconds));
pool.end();
