import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Scripts beside this repository; their README says what they build. */
const BUILD = new URL('../../../shared/cluster/build', import.meta.url).pathname;

export type FoundGateway =
  | { readonly kind: 'found'; readonly program: string }
  | { readonly kind: 'missing'; readonly advice: string };

const ADVICE = [
  'There is no S3 server to test against. Versity S3 Gateway 1.8 is one program, without dependencies:',
  '  go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 && export POSTERN_VERSITYGW=$(go env GOPATH)/bin/versitygw',
].join('\n');

/** The program of POSTERN_VERSITYGW, else one that is built here. A suite must never pass for want of it. */
export function findVersityGateway(): FoundGateway {
  const given = process.env['POSTERN_VERSITYGW'];
  if (given !== undefined && given !== '') {
    return existsSync(given)
      ? { kind: 'found', program: given }
      : { kind: 'missing', advice: `POSTERN_VERSITYGW: there is no ${given}\n${ADVICE}` };
  }
  if (!existsSync(BUILD)) return { kind: 'missing', advice: ADVICE };
  try {
    const folder = execFileSync(BUILD, ['versitygw'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim();
    return { kind: 'found', program: join(folder, 'versitygw') };
  } catch {
    return { kind: 'missing', advice: ADVICE };
  }
}
