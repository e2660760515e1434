import type { FidelityCase } from './runner.ts';
export const CLIENTS: readonly FidelityCase[] = [];
