// The side-by-side workloads on SQLite with better-sqlite3, which blocks.
//
//   side_better_sqlite3.mjs FILE WORKLOAD SECONDS ROWS
import { load, runSide, checkSum, CHECK_FRESH, ITEM_GROUPS } from './side_measure.mjs';

const [path, name, seconds, rowsText] = process.argv.slice(2);
const ROWS = Number(rowsText);
const Database = load('better-sqlite3');
const db = new Database(path);
db.pragma('synchronous = NORMAL');

const lookup = db.prepare('SELECT id, val FROM lookup WHERE id = ?');
const scan = db.prepare('SELECT id AS g, name, ratio FROM mixed WHERE id <= ?');
const insert = db.prepare('INSERT INTO fresh (grp, score, name) VALUES (?, ?, ?)');

const insertSome = db.transaction((random) => {
  for (let i = 1; i <= 1000; i++) {
    insert.run(random.next() % ITEM_GROUPS, i / 8, `item number ${i}`);
  }
});

const workloads = {
  'sqlite-lookup': {
    warm: 512, block: 32, operation(_, random) {
      const row = lookup.get(random.next() % 10000 + 1);
      return [1, row.id + row.val.length];
    },
  },
  'sqlite-scan': {
    warm: 1, operation(_, random, weigh) {
      const want = weigh ? ROWS / 10 : ROWS;
      let sum = 0;
      for (const row of scan.iterate(want)) sum += row.g;
      checkSum(sum, want);
      return [want, sum];
    },
  },
  'sqlite-insert': {
    operation(_, random) {
      insertSome.immediate(random);
      return [1000, 0];
    },
    check: () => db.prepare(CHECK_FRESH).pluck().get(),
  },
};

if (name === 'sqlite-insert') db.exec('DELETE FROM fresh');
await runSide(workloads[name], Number(seconds));
db.close();
