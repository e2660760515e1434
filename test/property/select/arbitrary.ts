import fc from 'fast-check';
import type { Manner } from './bench.ts';

/** The choices of one statement; long ones make large statements. */
export const NUMBERS = fc.array(fc.nat({ max: 0xff_ff }), { maxLength: 160, size: 'max' });

export const MANNERS = fc.constantFrom<Manner>('simple', 'simple', 'extended', 'binary', 'describe');
