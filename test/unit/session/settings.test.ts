import { describe, expect, test } from 'vitest';
import { parseStartupOptions, planStartup, type StartupInput } from '#session/settings.ts';

const access: StartupInput['access'] = {
  schemas: ['public', 'Sales'],
  defaultSearchPath: ['public'],
  statementTimeoutMs: 30_000,
  grantsWrite: false,
  allowedCommands: new Set(),
};

function plan(parameters: Readonly<Record<string, string>>, changes: Partial<StartupInput['access']> = {}) {
  return planStartup({
    parameters: new Map(Object.entries(parameters)),
    access: { ...access, ...changes },
    maskKeySettings: new Map([['postern.mask_key_inner', 'aa']]),
    errors: { detail: 'Full', message: '' },
  });
}

function settings(parameters: Readonly<Record<string, string>>, changes: Partial<StartupInput['access']> = {}) {
  const result = plan(parameters, changes);
  if (result.kind === 'refused') throw new Error(result.denial.message);
  return Object.fromEntries(result.settings);
}

describe('what the server is started with', () => {
  test('pins, the mask key and the policy hold where the client asks for nothing', () => {
    expect(settings({ user: 'anybody', database: 'other' })).toEqual({
      client_min_messages: 'notice',
      search_path: 'public, pg_temp',
      statement_timeout: '30000',
      default_transaction_read_only: 'on',
      client_encoding: 'UTF8',
      standard_conforming_strings: 'on',
      backslash_quote: 'safe_encoding',
      row_security: 'on',
      array_nulls: 'on',
      transform_null_equals: 'off',
      'postern.mask_key_inner': 'aa',
    });
  });

  test('where a write is granted transactions are not read-only', () => {
    expect(settings({}, { grantsWrite: true })).not.toHaveProperty('default_transaction_read_only');
    const temporary = { allowedCommands: new Set(['CREATE TEMPORARY TABLE']) };
    expect(settings({}, temporary)).not.toHaveProperty('default_transaction_read_only');
  });

  test('what drivers send passes', () => {
    const result = settings({
      client_encoding: "'utf-8'",
      DateStyle: 'ISO',
      TimeZone: 'Europe/Berlin',
      extra_float_digits: '2',
      application_name: 'PostgreSQL JDBC Driver',
      options: '-c default_transaction_read_only=on -c search_path=public',
    });
    expect(result).toMatchObject({
      client_encoding: 'UTF8',
      datestyle: 'ISO',
      timezone: 'Europe/Berlin',
      extra_float_digits: '2',
      application_name: 'PostgreSQL JDBC Driver',
      default_transaction_read_only: 'on',
      search_path: 'public, pg_temp',
    });
  });

  test('a schema name keeps its case and pg_temp stands last', () => {
    const result = plan({ search_path: '"Sales", public' });
    expect(result).toMatchObject({ kind: 'accepted', searchPath: ['Sales', 'public'] });
    expect(settings({ search_path: '"Sales", public' })['search_path']).toBe('"Sales", public, pg_temp');
  });
});

describe('what ends the connection', () => {
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
    [
      'another encoding',
      { client_encoding: 'LATIN1' },
      'setting client_encoding cannot be changed or read this way through the gate; it must stay UTF8',
    ],
    ['a schema that is not granted', { search_path: 'secret' }, 'search_path'],
    ['pg_temp first', { search_path: 'pg_temp, public' }, 'search_path'],
    ['backslash escapes', { options: '-c standard_conforming_strings=off' }, 'standard_conforming_strings'],
    ['another role', { options: '-c role=postgres' }, 'role'],
    ['another user', { options: '--session-authorization=postgres' }, 'session_authorization'],
    ['row security switched off', { options: '-crow_security=off' }, 'row_security'],
    ['a longer time limit', { statement_timeout: '31s' }, 'statement_timeout'],
    ['no time limit', { statement_timeout: '0' }, 'statement_timeout'],
    [
      'a write where none is granted',
      { options: '-c default_transaction_read_only=off' },
      'default_transaction_read_only',
    ],
    ['server messages below notice', { client_min_messages: 'debug1' }, 'client_min_messages'],
    ['an own mask key', { options: '-c postern.mask_key_inner=00' }, 'postern.mask_key_inner'],
    ['a setting of another extension', { 'app.tenant': '7' }, 'app.tenant'],
    ['a setting nobody knows', { work_mem: '1GB' }, 'work_mem'],
    ['a switch that is no setting', { options: '-d 5' }, 'options'],
    ['a setting without a value', { options: '-c search_path' }, 'options'],
  ];
  test.each(cases)('%s', (_, parameters, message) => {
    const result = plan(parameters);
    expect(result).toMatchObject({
      kind: 'refused',
      denial: { sqlstate: '42501', severity: 'FATAL', slug: 'setting_not_allowed' },
    });
    expect(result.kind === 'refused' ? result.denial.message : '').toContain(message);
  });

  test('replication is a protocol violation, saying no to it is not', () => {
    expect(plan({ replication: 'database' })).toMatchObject({
      kind: 'refused',
      denial: { sqlstate: '08P01', severity: 'FATAL', message: 'protocol violation: replication is not offered' },
    });
    expect(plan({ replication: 'false' })).toMatchObject({ kind: 'accepted' });
  });

  test('generic errors say nothing', () => {
    const result = planStartup({
      parameters: new Map([['role', 'postgres']]),
      access,
      maskKeySettings: new Map(),
      errors: { detail: 'Generic', message: 'ask the data team' },
    });
    expect(result).toMatchObject({ kind: 'refused', denial: { message: 'ask the data team', sqlstate: '42501' } });
  });
});

describe('the options parameter reads as the server reads it', () => {
  const cases: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
    ['', []],
    ['   ', []],
    ['-c a=b', [['a', 'b']]],
    [
      '-ca=b --c-d=e',
      [
        ['a', 'b'],
        ['c_d', 'e'],
      ],
    ],
    ['-c TimeZone=a\\ b\\\\c', [['TimeZone', 'a b\\c']]],
    [
      '-c\ta=\n-c b==',
      [
        ['a', ''],
        ['b', '='],
      ],
    ],
  ];
  test.each(cases)('%j', (text, expected) => {
    expect(parseStartupOptions(text)).toEqual({ kind: 'parsed', settings: expected });
  });
});
