/** YAML text → documents. A module of its own, so that manifests load the library when there are any. */
import { LineCounter, parseAllDocuments } from 'yaml';

export interface YamlDocument {
  /** Faults of the text; `pos` is where each begins and ends. */
  readonly errors: readonly { readonly message: string; readonly pos: readonly [number, number] }[];
  readonly contents: { readonly range?: readonly [number, number, number] | null | undefined } | null;
  readonly toJS: () => unknown;
  readonly getIn: (path: readonly (string | number)[], keepScalar: boolean) => unknown;
}

/** All documents of a text, and the line (from 1) of an offset in it. */
export function parseYaml(text: string): {
  readonly documents: readonly YamlDocument[];
  readonly lineOf: (offset: number) => number;
} {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  return { documents: Array.isArray(parsed) ? parsed : [], lineOf: (offset) => lines.linePos(offset).line };
}
