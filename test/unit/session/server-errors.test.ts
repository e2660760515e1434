import { describe, expect, test } from 'vitest';
import type { RelationView } from '#sql/relation-view.ts';
import type { StatementPlan } from '#session/decided-text.ts';
import { planText } from '#session/decided-text.ts';
import { cleanErrorFields, cleanNoticeFields, mapPosition } from '#session/server-errors.ts';
import { tableDecision, testPolicy } from '../../protocol-gate.ts';

function plan(governed: boolean, whole = false): StatementPlan {
  const policy = testPolicy();
  const decision = tableDecision([])({
    text: 'SELECT 1',
    policy,
    session: { searchPath: [], temporaryRelations: new Map(), cursors: new Map(), preparedStatements: new Map() },
    parameterTypeOids: [],
    checkToken: '',
  });
  const [only] = planText('SELECT 1', decision, policy).plans;
  if (only === undefined) throw new Error('no plan');
  return { ...only, governed, whole, rewritten: governed };
}

const FIELDS = new Map([
  ['S', 'ERROR'],
  ['V', 'ERROR'],
  ['C', '23505'],
  ['M', 'duplicate key value violates unique constraint "customers_email_key"'],
  ['D', 'Key (email)=(ada@example.com) already exists.'],
  ['H', 'some hint'],
  ['W', 'PL/pgSQL function x() line 1'],
  ['q', 'SELECT * FROM public.customers'],
  ['p', '3'],
  ['n', 'customers_email_key'],
  ['R', '_bt_check_unique'],
]);

describe('errors about governed relations', () => {
  test('lose detail, hint, context, internal query and names of constraints', () => {
    const cleaned = cleanErrorFields(FIELDS, { plan: plan(true), text: 'INSERT ...', pieces: undefined });
    expect(Object.fromEntries(cleaned)).toEqual({
      S: 'ERROR',
      V: 'ERROR',
      C: '23505',
      M: 'duplicate key value violates a unique constraint',
      R: '_bt_check_unique',
    });
  });

  const NOTES: RelationView = {
    relationOid: 1,
    schema: 'public',
    name: 'notes',
    actions: new Set(['Insert']),
    columns: [{ name: 'author', attnum: 1, typeOid: 25, typmod: -1 }],
    hiddenColumns: new Set(['secret']),
    isWhole: false,
    policies: [],
  };
  test.each([
    ['a column that the agent sees', 'author', 'notes', true],
    ['a hidden column', 'secret', 'notes', false],
    ['a partition or a table that a trigger writes', 'author', 'notes_2024', false],
    ['a relation without a view', 'author', 'payroll', false],
  ])('name %s without a value: %s of %s: %s', (_, column, relation, passes) => {
    const message = `null value in column "${column}" of relation "${relation}" violates not-null constraint`;
    const fields = new Map([
      ['C', '23502'],
      ['M', message],
      ['c', column],
      ['D', 'Failing row contains (1, null, s3cret).'],
    ]);
    const context = { plan: { ...plan(true), written: [NOTES] }, text: 'INSERT ...', pieces: undefined };
    expect(Object.fromEntries(cleanErrorFields(fields, context))).toEqual({
      C: '23502',
      M: passes ? message : 'null value violates a not-null constraint',
    });
  });

  test('keep the constraint where the relation is seen whole', () => {
    const cleaned = cleanErrorFields(FIELDS, { plan: plan(true, true), text: 'INSERT ...', pieces: undefined });
    expect(cleaned.get('M')).toBe(FIELDS.get('M'));
    expect([cleaned.get('n'), cleaned.get('D')]).toEqual(['customers_email_key', undefined]);
  });

  test.each([
    [
      '22P02',
      'invalid input syntax for type integer: "s3cret"',
      'SELECT x::int FROM t',
      'invalid text representation of a value',
    ],
    [
      '22P02',
      'invalid input syntax for type integer: "abc"',
      "SELECT 'abc'::int FROM t",
      'invalid input syntax for type integer: "abc"',
    ],
    ['22012', 'division by zero', 'SELECT 1/0 FROM t', 'division by zero'],
    ['P0001', 'balance is 1234', 'UPDATE t SET a = 1', 'an exception was raised by a database function'],
    ['22023', 'value 1234 is bad', 'SELECT f(x) FROM t', 'invalid parameter value'],
    [
      '22021',
      'invalid byte sequence for encoding "UTF8": 0xe9',
      'SELECT convert_from(x) FROM t',
      'invalid byte sequence for the encoding',
    ],
    ['42703', 'column "nope" does not exist', 'SELECT nope FROM t', 'column "nope" does not exist'],
    ['42703', 'column t.password_hash does not exist, see "password_hash"', 'SELECT 1 FROM t', 'column does not exist'],
    [
      '40001',
      'could not serialize access due to concurrent update',
      'SELECT 1',
      'could not serialize access due to concurrent update',
    ],
    ['57014', 'canceling statement due to user request', 'SELECT 1', 'canceling statement due to user request'],
    ['XX000', 'tuple holds s3cret', 'SELECT 1', 'internal error of the database'],
    ['42703', 'column "postern_flag" does not exist', 'SELECT 1', 'column does not exist'],
  ])('%s %s', (sqlstate, message, text, expected) => {
    const cleaned = cleanErrorFields(
      new Map([
        ['C', sqlstate],
        ['M', message],
      ]),
      { plan: plan(true), text, pieces: undefined },
    );
    expect([cleaned.get('C'), cleaned.get('M')]).toEqual([sqlstate, expected]);
  });

  test('other errors keep their detail, but never an internal query', () => {
    const cleaned = cleanErrorFields(FIELDS, { plan: plan(false), text: '', pieces: undefined });
    expect([cleaned.get('D'), cleaned.get('q'), cleaned.get('W')]).toEqual([FIELDS.get('D'), undefined, undefined]);
  });

  test('notices pass only where they cannot hold data', () => {
    const context = { plan: plan(true), text: 'CREATE TABLE IF NOT EXISTS t ()', pieces: undefined };
    expect(
      cleanNoticeFields(
        new Map([
          ['C', '42P07'],
          ['M', 'relation "t" already exists, skipping'],
        ]),
        context,
      ),
    ).toBeDefined();
    expect(
      cleanNoticeFields(
        new Map([
          ['C', '42P07'],
          ['M', 'relation "other" already exists, skipping'],
        ]),
        context,
      ),
    ).toBeUndefined();
    expect(
      cleanNoticeFields(
        new Map([
          ['C', '00000'],
          ['M', 'ssn is 123'],
        ]),
        context,
      ),
    ).toBeUndefined();
  });
});

describe('positions', () => {
  const text = "SELECT '😀', x FROM t WHERE y";
  const at = text.indexOf('t WHERE');
  const pieces = [{ start: 0, end: at }, { insert: '(SELECT é) AS t' }, { start: at + 1, end: text.length }];
  const sent = [
    ...pieces.map((piece) => ('insert' in piece ? piece.insert : text.slice(piece.start, piece.end))).join(''),
  ];

  test.each([['x'], ['y'], ['FROM']])('of %s is that in the own text', (word) => {
    const position =
      sent.join('').indexOf(word) === -1 ? -1 : [...sent.join('').slice(0, sent.join('').indexOf(word))].length + 1;
    const own = [...text.slice(0, text.indexOf(word))].length + 1;
    expect(mapPosition(position, { text, pieces })).toBe(own);
  });

  test('inside text of ours is the place it stands in for', () => {
    const inside = [...sent.join('').slice(0, sent.join('').indexOf('é'))].length + 1;
    expect(mapPosition(inside, { text, pieces })).toBe([...text.slice(0, at + 1)].length + 1);
  });

  test('beyond the end or nonsense is none', () => {
    expect(mapPosition(10_000, { text, pieces })).toBeUndefined();
    expect(mapPosition(0, { text, pieces })).toBeUndefined();
    expect(mapPosition(Number.NaN, { text, pieces })).toBeUndefined();
  });
});
