// client.js BASE COUNT CONCURRENCY: undici's pool, as many workers as requests at a time.
const { Pool } = require("undici");

const [base, count, concurrency] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const pool = new Pool(new URL(base).origin, { connections: concurrency });
let next = 0;

async function worker() {
  while (next < count) {
    const { statusCode, body } = await pool.request({ path: `/${next++}`, method: "GET" });
    const text = await body.text();
    if (statusCode !== 200 || text.length !== 1024) throw new Error(`${statusCode}, ${text.length} bytes`);
  }
}

async function main() {
  const begun = process.hrtime.bigint(), before = process.cpuUsage();
  await Promise.all(Array.from({ length: concurrency }, worker));
  const { user, system } = process.cpuUsage(before);
  console.log(Number(process.hrtime.bigint() - begun) / 1e9, (user + system) / 1e6);
  await pool.close();
}
main();
