import type { FidelityCase } from './runner.ts';
export const SESSIONS: readonly FidelityCase[] = [];
