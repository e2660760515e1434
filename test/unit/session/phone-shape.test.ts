import fc from 'fast-check';
import { findPhoneNumbersInText } from 'libphonenumber-js';
import { describe, expect, test } from 'vitest';
import { mayHoldPhone } from '#session/phone-shape.ts';

const findsOne = (text: string): boolean =>
  findPhoneNumbersInText(text, { defaultCountry: 'US', extended: true }).length > 0;

/** As today's detector looks: what it does not take for a candidate is not asked for at all. */
const SHAPE = /[+\uff0b]|(?:\p{Nd}[^\p{L}\p{N}]{0,4}){9}\p{Nd}/u;

const digits = (maxLength: number) =>
  fc
    .array(fc.constantFrom(...Array.from('00111222345566789')), { minLength: 1, maxLength })
    .map((found) => found.join(''));
const piece = fc.oneof(
  { weight: 6, arbitrary: digits(4) },
  { weight: 3, arbitrary: digits(24) },
  { weight: 8, arbitrary: fc.constantFrom(...Array.from(' -./()[]~+x#,;:"{}\t/ ')) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(' ext. ', ' x', '  -  ', '011', '1-800-', '+49 ', ',,', ' int ', '(0)', 'a', 'é', '٣'),
  },
);
const near = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(''));
const shaped = fc
  .tuple(
    fc.constantFrom('', '+1', '1', '+', '011', '(', '+(', '1 1', 'no. '),
    fc.array(fc.tuple(fc.constantFrom('', ' ', '-', '.', ') ', ' (', '/', ' - ', '  ', '+'), digits(5)), {
      maxLength: 8,
    }),
    fc.constantFrom('', ' x12', ' ext 1234567', '#12', ', 20', ' x12345678905551234567', '/x1'),
  )
  .map(([before, blocks, behind]) => before + blocks.map(([gap, block]) => gap + block).join('') + behind);

describe('whether the library could find a phone number', () => {
  test('wherever it finds one, it is asked', () => {
    let found = 0;
    fc.assert(
      fc.property(fc.oneof(near, shaped), (text) => {
        if (!SHAPE.test(text) || !findsOne(text)) return;
        found++;
        expect(mayHoldPhone(text)).toBe(true);
      }),
      { numRuns: 8000 },
    );
    expect(found).toBeGreaterThan(300);
  });

  test.each([
    '2026-01-01 12:00:00+00',
    '2026-01-01 12:00:00.123456+05:30',
    '100000300000',
    'a note about order 0012345 kept as text',
    '3 + 4 = 7',
    'C++17 and 12 others',
    '{"id": 123456789012, "at": "2026-01-01T12:00:00+00:00"}',
  ])('%s needs no look', (text) => {
    expect(mayHoldPhone(text)).toBe(false);
    expect(findsOne(text)).toBe(false);
  });
});
