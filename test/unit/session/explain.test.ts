import { describe, expect, test } from 'vitest';
import { type ExplainFormat, reduceExplainCell } from '#session/explain.ts';

function reduce(format: ExplainFormat, text: string): string | undefined {
  return reduceExplainCell(format, Buffer.from(text))?.toString();
}

describe('EXPLAIN as text', () => {
  test.each([
    ['Seq Scan on customers  (cost=0.00..1.05 rows=5 width=4)', 'Seq Scan on customers'],
    [
      '  ->  Index Scan using customers_pkey on customers c  (cost=0.1..8 rows=1 width=4) (actual time=0.1..0.2 rows=1 loops=1)',
      '  ->  Index Scan using customers_pkey on customers c',
    ],
    ['  ->  Parallel Hash Join  (never executed)', '  ->  Parallel Hash Join'],
    ['  InitPlan 1 (returns $0)', '  InitPlan 1'],
    ['  CTE recent', '  CTE recent'],
    ['Nested Loop Left Join', 'Nested Loop Left Join'],
    ['Hash Right Semi Join', 'Hash Right Semi Join'],
    ['Limit', 'Limit'],
  ])('%s', (line, expected) => {
    expect(reduce('text', line)).toBe(expected);
  });

  test.each([
    ["  Filter: (ssn = '123')"],
    ['  Index Cond: (id = 5)'],
    ['  Rows Removed by Filter: 7'],
    ['  Buffers: shared hit=3'],
    ['  Output: id, ssn'],
    ['Planning Time: 0.1 ms'],
    ['  Sort Key: salary'],
    ['  ->  secret value (cost'],
    ['  One-Time Filter: false'],
  ])('%s is dropped', (line) => {
    expect(reduce('text', line)).toBeUndefined();
  });
});

describe('EXPLAIN in other formats', () => {
  test('json keeps the shape', () => {
    const plan = [
      {
        Plan: {
          'Node Type': 'Limit',
          'Plan Rows': 5,
          Filter: 'x',
          Plans: [{ 'Node Type': 'Seq Scan', Alias: 't', 'Total Cost': 1 }],
        },
        'Execution Time': 3,
      },
    ];
    expect(JSON.parse(reduce('json', JSON.stringify(plan)) ?? '')).toEqual([
      { Plan: { 'Node Type': 'Limit', Plans: [{ 'Node Type': 'Seq Scan', Alias: 't' }] } },
    ]);
    expect(reduce('json', 'not json s3cret')).toBe('[]');
  });

  test('yaml keeps the shape', () => {
    const text =
      '- Plan: \n    Node Type: "Sort"\n    Plan Rows: 5\n    Sort Key: \n      - "salary"\n    Plans: \n      - Node Type: "Seq Scan"\n        Alias: "t"\n        Filter: "(ssn = 1)"\n';
    expect(reduce('yaml', text)).toBe(
      '- Plan: \n    Node Type: "Sort"\n    Plans: \n      - Node Type: "Seq Scan"\n        Alias: "t"',
    );
  });

  test('xml keeps the shape', () => {
    const text =
      '<explain xmlns="http://www.postgresql.org/2009/explain">\n  <Query>\n    <Plan>\n      <Node-Type>Seq Scan</Node-Type>\n      <Plan-Rows>5</Plan-Rows>\n      <Filter>(ssn = 1)</Filter>\n    </Plan>\n  </Query>\n</explain>';
    expect(reduce('xml', text)).not.toMatch(/Rows|Filter|ssn/);
    expect(reduce('xml', text)).toContain('<Node-Type>Seq Scan</Node-Type>');
  });
});
