/** Certificates for tests, made afresh by openssl: nothing is committed, nothing expires. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TestAuthority {
  readonly caPem: string;
  /** A server certificate signed by this authority, valid for these names and addresses. */
  readonly issue: (names: readonly string[]) => { readonly certificatePem: string; readonly keyPem: string };
}

/** A certificate authority of its own. `digest` is the one that signatures use. */
export function createAuthority(digest = 'sha256'): TestAuthority {
  const folder = mkdtempSync(join(tmpdir(), 'postern-ca-'));
  const run = (...parameters: string[]): void => {
    execFileSync('openssl', parameters, { cwd: folder, stdio: 'pipe' });
  };
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  run(
    'req',
    '-x509',
    ...key,
    '-days',
    '2',
    `-${digest}`,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-subj',
    '/CN=test authority',
  );
  let count = 0;
  return {
    caPem: read('ca.crt'),
    issue: (names) => {
      const id = `server${count++}`;
      const alternatives = names.map((name) => (/^[\d.:]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
      writeFileSync(join(folder, `${id}.ext`), `subjectAltName=${alternatives}\n`);
      run('req', ...key, '-keyout', `${id}.key`, '-out', `${id}.csr`, '-subj', `/CN=${names[0] ?? id}`);
      const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', `-${digest}`];
      run('x509', '-req', '-in', `${id}.csr`, ...signed, '-extfile', `${id}.ext`, '-out', `${id}.crt`);
      return { certificatePem: read(`${id}.crt`), keyPem: read(`${id}.key`) };
    },
  };
}
