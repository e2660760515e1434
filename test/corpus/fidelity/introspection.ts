import type { FidelityCase } from './runner.ts'; export const INTROSPECTION: readonly FidelityCase[] = [];
