/** Says at the end of a whole run which suites it does not contain, so that nobody takes green for more than it is. */
import type { Reporter } from 'vitest/node';

const NOT_RUN = [
  'test:drivers (psql, pgbench, psycopg, asyncpg, SQLAlchemy, pgx, JDBC: needs Python, Go, Java)',
  'test:cluster, test:e2e (CRDs, chart, operator and gate in a real cluster: needs one, see test/README.md)',
  'test:s3, test:fault (collector and record against a real S3 server: needs Versity S3 Gateway, see test/s3/run.ts)',
  'test:browser (the replayed session as a page: needs Chromium or Chrome)',
  'bench (speed and memory against direct connections and PgBouncer)',
];

/** vitest loads a reporter by its default export. */
class NotRunReporter implements Reporter {
  onTestRunEnd(): void {
    for (const suite of NOT_RUN) process.stdout.write(`not run: npm run ${suite}\n`);
  }
}

export default NotRunReporter;
