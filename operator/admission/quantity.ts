/** Kubernetes quantities of bytes: `256Mi`, `1G`, `1.5Gi`, `1e9`. */
const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

const QUANTITY = /^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([kMGTP]|[KMGTP]i)|[eE]([0-9]{1,2}))?$/;

/** The number of bytes, or undefined for what is no quantity of bytes. */
export function quantityBytes(text: unknown): number | undefined {
  const match = QUANTITY.exec(typeof text === 'number' ? String(text) : typeof text === 'string' ? text : '?');
  if (match === null) return undefined;
  const factor = match[3] === undefined ? FACTORS[match[2] ?? ''] : 10 ** Number(match[3]);
  return factor === undefined ? undefined : Math.ceil(Number(match[1]) * factor);
}
