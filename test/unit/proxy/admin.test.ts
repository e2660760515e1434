import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AdminServer, startAdmin } from '#proxy/admin.ts';
import { createMetrics } from '#proxy/metrics.ts';

let reason: string | undefined;
let server: AdminServer;
let url: string;
const metrics = createMetrics(() => 10_000);

beforeEach(async () => {
  reason = undefined;
  server = await startAdmin('127.0.0.1', 0, {
    notReady: () => reason,
    metrics: async () => ({ contentType: metrics.registry.contentType, text: await metrics.registry.metrics() }),
  });
  url = `http://127.0.0.1:${server.address.port}`;
});
afterEach(async () => {
  await server.close();
});

describe('the admin server', () => {
  test('is alive, and ready once nothing is missing', async () => {
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    reason = 'the catalog of the database is not loaded yet';
    const response = await fetch(`${url}/readyz`);
    expect([response.status, await response.text()]).toEqual([
      503,
      'not ready: the catalog of the database is not loaded yet\n',
    ]);
    reason = undefined;
    expect((await fetch(`${url}/readyz?verbose`)).status).toBe(200);
  });

  test.each(['/', '/metrics/', '/debug/pprof', '/%2e%2e/etc/passwd'])('answers 404 to %s', async (path) => {
    expect((await fetch(url + path)).status).toBe(404);
  });

  test('takes GET and HEAD only', async () => {
    const response = await fetch(`${url}/metrics`, { method: 'POST', body: 'x' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect((await fetch(`${url}/livez`, { method: 'HEAD' })).status).toBe(200);
  });

  test('serves every metric of the contract under its name', async () => {
    metrics.observer.statement('allowed', 'SELECT', 'data/support');
    metrics.observer.sessions(1);
    metrics.observer.parseCache('miss');
    metrics.credentialRefresh('granted');
    metrics.measureAudit(() => ({ spoolBytes: 12, lagSeconds: 1.5 }));
    metrics.bundleLoaded('data/shop', 7, 4000);
    const text = await (await fetch(`${url}/metrics`)).text();
    for (const line of [
      'postern_statements_total{decision="allowed",command="SELECT",policy="data/support"} 1',
      'postern_sessions 1',
      'postern_rows_total 0',
      'postern_bytes_total 0',
      'postern_masked_columns_total 0',
      'postern_approvals_pending 0',
      'postern_audit_spool_bytes 12',
      'postern_audit_lag_seconds 1.5',
      'postern_bundle_generation{connection="data/shop"} 7',
      'postern_bundle_age_seconds{connection="data/shop"} 6',
      'postern_credential_refresh_total{result="granted"} 1',
      'postern_parse_cache_total{result="miss"} 1',
      'postern_decision_seconds_count 0',
      'postern_upstream_seconds_count 0',
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
  });
});
