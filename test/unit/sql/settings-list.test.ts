import { describe, expect, test } from 'vitest';
import {
  decideSetting,
  isSettingReadable,
  parseDurationMs,
  parseSearchPath,
  printSearchPath,
  settingRule,
} from '#sql/settings-list.ts';

const context = { schemas: ['public'], statementTimeoutMs: 60_000, readOnly: true };

describe('what an agent may set', () => {
  const cases: readonly (readonly [string, string, 'allowed' | 'refused'])[] = [
    ['TimeZone', 'UTC', 'allowed'],
    ['extra_float_digits', '3', 'allowed'],
    ['extra_float_digits', '4', 'refused'],
    ['jit', 'OFF', 'allowed'],
    ['jit', 'maybe', 'refused'],
    ['standard_conforming_strings', 'true', 'allowed'],
    ['standard_conforming_strings', '0', 'refused'],
    ['client_encoding', 'Unicode', 'allowed'],
    ['client_encoding', 'SQL_ASCII', 'refused'],
    ['ROLE', 'none', 'allowed'],
    ['role', 'postgres', 'refused'],
    ['statement_timeout', '1min', 'allowed'],
    ['statement_timeout', '61 s', 'refused'],
    ['statement_timeout', '0', 'refused'],
    ['statement_timeout', 'long', 'refused'],
    ['search_path', 'public, pg_catalog', 'refused'],
    ['search_path', 'pg_catalog, public', 'allowed'],
    ['search_path', '', 'allowed'],
    ['search_path', '"$user", public', 'refused'],
    ['search_path', 'public,', 'refused'],
    ['transaction_read_only', 'on', 'allowed'],
    ['transaction_read_only', 'off', 'refused'],
    ['postern.mask_key_inner', '', 'refused'],
    ['session_replication_role', 'replica', 'refused'],
    ['log_statement', 'none', 'refused'],
    ['debug_print_plan', 'on', 'refused'],
  ];
  test.each(cases)('%s = %s is %s', (name, value, expected) => {
    expect(decideSetting(name, value, context).kind).toBe(expected);
  });

  test('without a limit any duration is allowed', () => {
    expect(decideSetting('statement_timeout', '0', { schemas: [], readOnly: false })).toEqual({ kind: 'allowed' });
  });

  test('what is not listed is refused', () => {
    expect(settingRule('wal_level')).toEqual({ kind: 'refused' });
  });
});

test('a search path is read as the server reads it', () => {
  expect(parseSearchPath(' Public , "A ""b""",c ')).toEqual(['public', 'A "b"', 'c']);
  expect(parseSearchPath('')).toEqual([]);
  for (const broken of ['a,', ',a', 'a b', '"a', 'a"b"']) expect(parseSearchPath(broken)).toBeUndefined();
});

test('a printed search path reads back, with pg_temp last', () => {
  const schemas = ['public', 'Sales', 'a "b"', '$user', 'ö'];
  expect(parseSearchPath(printSearchPath(schemas))).toEqual([...schemas, 'pg_temp']);
});

test('durations have the units of PostgreSQL', () => {
  expect(['5', '5ms', '2s', '1.5 min', '1h', '1d', '500us'].map(parseDurationMs)).toEqual([
    5, 5, 2000, 90_000, 3_600_000, 86_400_000, 1,
  ]);
  expect(['', '-1', '1 fortnight', '1e3'].map(parseDurationMs)).toEqual([undefined, undefined, undefined, undefined]);
});

describe('what an agent may read', () => {
  test.each(['search_path', 'server_version', 'max_identifier_length', 'is_superuser', 'work_mem'])('%s', (name) => {
    expect(isSettingReadable(name)).toBe(true);
  });
  test.each([
    'postern.mask_key_inner',
    'app.tenant',
    'hba_file',
    'primary_conninfo',
    'archive_command',
    'ssl_key_file',
  ])('not %s', (name) => {
    expect(isSettingReadable(name)).toBe(false);
  });
});
