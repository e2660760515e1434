/** psql: the program's path is the first argument. What it prints is compared with what it prints on such a database. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, DENIAL, done, equal } from './checks.ts';

const psql = process.argv[2] ?? 'psql';

/** Runs a script; standard output and error in the order psql wrote each. */
async function script(text: string, ...words: readonly string[]): Promise<{ out: string; err: string; exit: number }> {
  return await new Promise((resolve) => {
    const child = execFile(
      psql,
      ['-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose', ...words],
      { timeout: 30_000 },
      (error, out, err) => {
        resolve({ out: out.trimEnd(), err: err.trimEnd(), exit: error === null ? 0 : Number(error.code ?? 1) });
      },
    );
    child.stdin?.end(text);
  });
}

async function prints(text: string, expected: string): Promise<void> {
  const { out, err } = await script(text);
  equal(err, '');
  equal(out, expected);
}

await check('query, variables, \\gexec, \\gset, \\crosstabview', async () => {
  await prints('\\set id 2\nSELECT email FROM customers WHERE id = :id;', 'o***@example.net');
  await prints("SELECT 'SELECT 42' \\gexec", '42');
  await prints('SELECT 1 AS a, 2 AS b \\gset\n\\echo :a :b', '1 2');
});

await check('\\d of a table shows what may be used, and no more', async () => {
  const { out, err } = await script('\\d customers');
  equal(err, '');
  const columns = out.split('\n').map((line) => line.split('|')[0]);
  equal(columns.includes('email'), true);
  equal(out.includes('password_hash'), false);
});

await check('\\d of a table that is not granted is as of one that does not exist', async () => {
  const loud = ['-v', 'QUIET=off'];
  equal((await script('\\d payroll', ...loud)).err, 'Did not find any relation named "payroll".');
  equal((await script('\\d no_such_table', ...loud)).err, 'Did not find any relation named "no_such_table".');
});

await check('\\dt lists the granted tables', async () => {
  const { out, err } = await script('\\dt');
  equal(err, '');
  const names = out.split('\n').map((line) => line.split('|')[1]);
  equal(
    names.filter((name) => name !== undefined && !name.startsWith('pgbench')),
    ['customers', 'driver_items', 'orders', 'products'],
  );
});

for (const command of [
  '\\d',
  '\\d+',
  '\\dS pg_class',
  '\\d+ customers',
  '\\d+ orders',
  '\\di',
  '\\di+',
  '\\ds',
  '\\dv',
  '\\dm',
  '\\dE',
  '\\dt+',
  '\\dT',
  '\\dT+',
  '\\dn',
  '\\dn+',
  '\\df',
  '\\df+ lower',
  '\\da',
  '\\do',
  '\\dD',
  '\\dC',
  '\\dc',
  '\\dO',
  '\\dp',
  '\\ddp',
  '\\db',
  '\\dd',
  '\\dL',
  '\\dx',
  '\\dF',
  '\\dFd',
  '\\dFp',
  '\\dFt',
  '\\dP',
  '\\dX',
  '\\dy',
  '\\dA',
  '\\dAc',
  '\\dAf',
  '\\dAo',
  '\\dAp',
  '\\du',
  '\\dg',
  '\\drds',
  '\\l',
  '\\dew',
  '\\des',
  '\\det',
  '\\deu',
  '\\dRp',
  '\\dRs',
  '\\dconfig search_path',
  '\\conninfo',
  '\\encoding',
  '\\sf+ no_such',
  '\\z',
]) {
  await check(`${command} is answered or refused in words`, async () => {
    const { out, err } = await script(command);
    // What is refused must be a denial of the policy; anything else would be a fault of the gate.
    const faults = err.split('\n').filter((line) => line.startsWith('ERROR') && !line.startsWith('ERROR:  42501'));
    // (An older psql asks a newer server for columns it no longer has.)
    const isOwnFault = faults.length > 0 && (await script(command, process.env['POSTERN_DIRECT_URL'] ?? '')).err !== '';
    if (!command.startsWith('\\sf') && !isOwnFault) equal(faults, []);
    equal(/payroll|password_hash|employees|card_number/.test(out + err), false);
  });
}

for (const command of [
  '\\d',
  '\\d+ customers',
  '\\di',
  '\\dn',
  '\\df',
  '\\dT',
  '\\dv',
  '\\ds',
  '\\dt+',
  '\\dp',
  '\\dx',
]) {
  await check(`${command} works`, async () => {
    equal((await script(command)).err, '');
  });
}

await check('\\copy out and in, csv and binary', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-psql-'));
  try {
    const file = join(folder, 'out.csv');
    await prints(
      `\\copy (SELECT id, email FROM customers WHERE id < 6 ORDER BY id) TO '${file}' WITH (FORMAT csv, HEADER)`,
      '',
    );
    equal(await readFile(file, 'utf8'), 'id,email\n2,o***@example.net\n5,d***@example.net\n');
    await writeFile(file, 'psql,1,one\npsql,2,"two, three"\n');
    await prints(`\\copy driver_items (driver, n, note) FROM '${file}' WITH (FORMAT csv)`, '');
    await prints("SELECT n, note FROM driver_items WHERE driver = 'psql' ORDER BY n;", '1|one\n2|two, three');
    const binary = join(folder, 'items.bin');
    await prints(
      `\\copy (SELECT 'psql-binary', n FROM driver_items WHERE driver = 'psql') TO '${binary}' WITH (FORMAT binary)`,
      '',
    );
    await prints(`\\copy driver_items (driver, n) FROM '${binary}' WITH (FORMAT binary)`, '');
    await prints("SELECT count(*) FROM driver_items WHERE driver = 'psql-binary';", '2');
  } finally {
    await rm(folder, { recursive: true });
  }
});

await check('COPY of a table is its view', async () => {
  const { out } = await script('SELECT id, email FROM customers;', '-F', '\t');
  equal(out.includes('d***@example.net'), true);
  await prints('COPY customers (id, email) TO STDOUT;', out);
});

await check('transaction: commit, rollback, savepoint, ON_ERROR_ROLLBACK', async () => {
  const insert = (n: number): string => `INSERT INTO driver_items (driver, n) VALUES ('psql-tx', ${n});`;
  await prints(
    `BEGIN; ${insert(1)} SAVEPOINT a; ${insert(2)} ROLLBACK TO a; COMMIT;\nBEGIN; ${insert(3)} ROLLBACK;`,
    '',
  );
  const { out } = await script(
    `\\set ON_ERROR_ROLLBACK on\nBEGIN;\n${insert(4)}\nSELECT * FROM payroll;\n${insert(5)}\nCOMMIT;`,
  );
  equal(out, '');
  await prints("SELECT n FROM driver_items WHERE driver = 'psql-tx' ORDER BY n;", '1\n4\n5');
});

await check('a denial, by its exact message, and the session lives', async () => {
  const { out, err } = await script('SELECT * FROM payroll;\nSELECT 1;');
  equal(out, '1');
  equal(err.split('\n')[0], `ERROR:  42501: ${DENIAL}`);
  equal(err.includes('LOCATION:  postern:relation_not_granted'), true);
});

await check('an error inside a transaction leaves it aborted', async () => {
  const { out, err } = await script('BEGIN;\nSELECT * FROM payroll;\nSELECT 1;\nCOMMIT;\nSELECT 2;');
  equal(out, '2');
  equal(err.includes('ERROR:  25P02'), true);
});

await check('error positions point into the own text', async () => {
  const { err } = await script('SELECT email, nope FROM customers;');
  equal(err.split('\n').slice(0, 3), [
    'ERROR:  42703: column "nope" does not exist',
    'LINE 1: SELECT email, nope FROM customers;',
    '                      ^',
  ]);
});

await check('PREPARE, EXECUTE, DECLARE, FETCH, FETCH_COUNT', async () => {
  await prints(
    'PREPARE p (int) AS SELECT email FROM customers WHERE id = $1; EXECUTE p(2); DEALLOCATE p;',
    'o***@example.net',
  );
  await prints(
    'BEGIN; DECLARE c CURSOR FOR SELECT id FROM customers ORDER BY id; FETCH 2 FROM c; CLOSE c; COMMIT;',
    '2\n5',
  );
  await prints(
    '\\set FETCH_COUNT 10\nSELECT id FROM orders ORDER BY id LIMIT 25;',
    Array.from({ length: 25 }, (_, i) => i + 1).join('\n'),
  );
});

await check('LangChain: SET search_path before each query', async () => {
  await prints('SET search_path TO public; SELECT email FROM customers WHERE id = 2;', 'o***@example.net');
});

await check('ping: empty statements and comments', async () => {
  await prints(';', '');
  await prints('-- ping', '');
  await prints('/* a */ SELECT 1 -- b', '1');
});

await check('EXPLAIN shows no filter and no key', async () => {
  const { out, err } = await script("EXPLAIN SELECT * FROM customers WHERE name = 'x';");
  equal(err, '');
  equal(/'eu'|postern/.test(out), false);
});

await check('a temporary table', async () => {
  await prints(
    'CREATE TEMP TABLE t AS SELECT id, email FROM customers WHERE id < 6; SELECT count(*), min(email) FROM t;',
    '2|d***@example.net',
  );
});

done();
