// What the peers on Node.js share; measure.lua and peer_measure.py do the same.
import { createRequire } from 'node:module';

export const MODULUS = 1000000007;
export const ITEM_GROUPS = 2000;
export const CHECK_FRESH =
  'SELECT CAST(count(*) + 3 * sum(grp) + 7 * sum(length(name)) AS bigint) FROM fresh';

// Packages are in a folder outside of the tree.
export const load = createRequire(`${process.env.PERIGEE_BENCH_PEERS}/package.json`);

// Park and Miller's generator.
export class Random {
  constructor(state) { this.state = state; }
  next() {
    this.state = this.state * 16807 % 2147483647;
    return this.state;
  }
}

export function checkSum(sum, rows) {
  if (sum !== rows * (rows + 1) / 2) throw new Error('rows are missing');
}

const now = () => performance.now() / 1000;
const peakKib = () => process.resourceUsage().maxRSS;

// Counts and latencies of one phase: of `quota` operations, or until the deadline.
class Phase {
  constructor(side, quota, deadline) {
    Object.assign(this, { side, quota, deadline });
    this.laps = [];
    this.operations = this.rows = this.weight = 0;
  }

  note(number, since, at, done, rows) {
    if (number > 0) {
      this.laps.push(at - since);
      this.operations += done;
      this.rows += rows;
    }
  }

  // Blocks of a blocking peer have no turns of the loop in between.
  async work(number, random) {
    const { operation, block = 1 } = this.side;
    let done = 0;
    let at = now();
    for (;;) {
      let rows = 0;
      for (let i = 0; i < block; i++) {
        const result = operation(number, random, this.quota > 0);
        const [n, weight] = result instanceof Promise ? await result : result;
        rows += n;
        if (this.quota > 0) this.weight += weight;
      }
      const time = now();
      this.note(number, at, time, block, rows);
      at = time;
      done += block;
      if (this.quota > 0 ? done >= this.quota : at >= this.deadline) return;
    }
  }

  async run(randoms) {
    const first = this.side.first ?? 1;
    await Promise.all(randoms.map((random, i) => this.work(i + first, random)));
    return this;
  }
}

function report(side, phase, wall, cpu, check, startKib) {
  const laps = Float64Array.from(phase.laps).sort();
  const at = (share) => laps[Math.floor(laps.length * share)];
  const result = {
    operations: phase.operations, rows: phase.rows, wall, cpu,
    check: Number(BigInt(check) % BigInt(MODULUS)), peak_kib: peakKib(),
    start_kib: startKib,
  };
  if ((side.block ?? 1) === 1) {
    Object.assign(result, {
      p50: at(0.5), p99: at(0.99), p999: at(0.999), longest: laps[laps.length - 1],
      slow: laps.reduce((n, t) => n + (t > 0.2), 0),
    });
  }
  console.log(JSON.stringify(result));
}

// side: operation(number, random, weigh) -> [rows, weight], workers (1), warm (2:
// operations of each that are weighed), block (1), first (1: number of the first
// worker, 0 is not measured), check() -> what to compare instead of the weights.
export async function runSide(side, seconds) {
  const randoms = Array.from({ length: side.workers ?? 1 }, (_, i) => new Random(i + 1));
  const startKib = peakKib();
  const warm = await new Phase(side, side.warm ?? 2, 0).run(randoms);
  const check = side.check ? await side.check() : warm.weight;
  const cpu = process.cpuUsage();
  const start = now();
  const phase = await new Phase(side, 0, start + seconds).run(randoms);
  const wall = now() - start;
  const used = process.cpuUsage(cpu);
  report(side, phase, wall, (used.user + used.system) / 1e6, check, startKib);
}
