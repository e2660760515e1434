import type { FidelityCase } from './runner.ts'; export const ANALYTIC: readonly FidelityCase[] = [];
