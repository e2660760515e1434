import { spawn } from 'node:child_process';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; never throws for its exit code. */
export async function run(program: string, parameters: readonly string[], input?: string): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, { stdio: ['pipe', 'pipe', 'pipe'] });
    const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    child.stdout.on('data', (chunk: Buffer) => chunks.stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.stderr.push(chunk));
    child.once('error', reject);
    child.once('close', (code) =>
      resolve({
        code: code ?? 1,
        stdout: Buffer.concat(chunks.stdout).toString('utf8'),
        stderr: Buffer.concat(chunks.stderr).toString('utf8'),
      }),
    );
    // A program that ends without reading is no fault of ours.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** Runs a program that has to succeed; its standard output. */
export async function succeed(program: string, parameters: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(program, parameters, input);
  if (code !== 0) throw new Error(`${program} ${parameters.join(' ')}: exit ${code}\n${stdout}${stderr}`);
  return stdout;
}

export const kubectl = async (...parameters: readonly string[]): Promise<string> => succeed('kubectl', parameters);
