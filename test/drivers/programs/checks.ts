/** Prints a line a check, as every driver program does. */
import { isDeepStrictEqual } from 'node:util';

/** What a refused read of a table no policy names must say, word for word. */
export const DENIAL =
  'policy data/drivers does not allow SELECT on public.payroll; use one of: public.customers, public.driver_items, public.orders, public.pgbench_accounts, public.pgbench_branches, public.pgbench_history, public.pgbench_tellers, public.products';

/** Runs one check; it fails by an exception. */
export async function check(name: string, body: () => Promise<void>): Promise<void> {
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.log(`not ok ${name}: ${message.replaceAll('\n', ' ')}`);
  }
}

/** Deep equality, or an exception that shows both. */
export function equal(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

/** The error of an operation that must fail, with the fields that PostgreSQL drivers share. */
export async function errorOf(operation: PromiseLike<unknown>): Promise<{ code: string; message: string }> {
  try {
    await operation;
  } catch (error) {
    if (error instanceof Error) {
      return { code: 'code' in error ? String(error.code) : '', message: error.message };
    }
  }
  throw new Error('no error');
}

/** Says that no check was left out. */
export function done(): void {
  console.log('done');
}
