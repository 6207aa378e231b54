// db.mjs - PostgreSQL as the owner of the cluster (to look at what is stored), or as a service's role (to see what it may not).
import pg from 'pg';
import { env } from './stack.mjs';

// Counts and sequences stay well below 2^53.
pg.types.setTypeParser(20, Number);

let pool;
const owner = () => {
  pool ??= new pg.Pool({ connectionString: env.PG_URL, max: 4, idleTimeoutMillis: 500, allowExitOnIdle: true });
  // A connection that dies idle (a test killed the server) is nothing to end the program for.
  if (pool.listenerCount('error') === 0) pool.on('error', () => {});
  return pool;
};

export const sql = async (text, values = []) => (await owner().query(text, values)).rows;
export const one = async (text, values = []) => (await sql(text, values))[0];

export async function answers() {
  return (await one('SELECT 1 AS one')).one === 1;
}

/** Runs statements as a role, on a connection of its own. */
export async function as(url, work) {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work((text, values) => client.query(text, values));
  } finally {
    await client.end();
  }
}
