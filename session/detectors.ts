import { Buffer } from 'node:buffer';
import { extractIBAN, isValidIBAN } from 'ibantools';
import { findPhoneNumbersInText } from 'libphonenumber-js';
import { AWS_ACCESS_KEY, JWT, PRIVATE_KEY } from '#audit/redact.ts';
import { mayHoldPhone } from './phone-shape.ts';

/**
 * Content detectors of the second wall: what looks like one and passes its check is replaced. The patterns are ours and linear enough
 * for V8; patterns of users run on RE2 (redaction.ts).
 */

/** What a text must hold for a detector to find anything; decides over raw bytes which cells are read at all (cell-prescan.ts). */
export type Sign = 'at' | 'card' | 'ssn' | 'iban' | 'address' | 'phone' | 'eyJ' | 'akia' | 'begin';

export interface Detector {
  readonly name: string;
  readonly sign: Sign;
  /** The text with what it found replaced; the same string where it found nothing. */
  readonly redact: (text: string) => string;
}

/** What stands for a found value. */
export function replacementOf(name: string): string {
  return `[redacted:${name}]`;
}

function byPattern(
  name: string,
  pattern: RegExp,
  isValid: (found: string) => boolean = () => true,
): Detector['redact'] {
  const replacement = replacementOf(name);
  return (text) => text.replace(pattern, (found) => (isValid(found) ? replacement : found));
}

const EMAIL =
  /(?<![\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-])[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]{1,64}@[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,62})(?:\.[\p{L}\p{N}][\p{L}\p{N}-]{0,62}){1,8}/gu;
/** Longer local parts than an address may have: from the 64th character before the sign on. */
const LONG_EMAIL =
  /[^\s@"'<>(),;:[\]{}]{1,64}@[\p{L}\p{N}][\p{L}\p{N}-]{0,62}(?:\.[\p{L}\p{N}][\p{L}\p{N}-]{0,62}){1,8}/gu;

/** What the mask method `Email` gives (`a***@example.com`): masked already, no address. */
const MASKED_EMAIL = /^[^\s@]\*\*\*@/u;

function redactEmails(text: string): string {
  if (!text.includes('@')) return text;
  const replacement = replacementOf('EmailAddress');
  const redact = (found: string): string => (MASKED_EMAIL.test(found) ? found : replacement);
  return text.replace(EMAIL, redact).replace(LONG_EMAIL, redact);
}

const CARD = /(?<![0-9])[2-6](?:[ -]?[0-9]){11,18}(?![0-9])/g;
/** Visa, Mastercard (also 2221-2720), American Express, Discover, Diners, JCB, UnionPay, Maestro. */
const ISSUER =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|3(?:0[0-5]|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|(?:5[06-9]|6\d)\d{10,17})$/;

function isCard(found: string): boolean {
  const digits = found.replace(/[ -]/g, '');
  return ISSUER.test(digits) && passesLuhn(digits);
}

function passesLuhn(digits: string): boolean {
  let sum = 0;
  for (let index = 0; index < digits.length; index++) {
    const digit = Number(digits[digits.length - 1 - index]);
    const doubled = index % 2 === 0 ? digit : digit * 2;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

const SSN = /(?<![0-9-])(?!000|666|9\d\d)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}(?![0-9-])/g;
const IBAN = /(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])/gi;
/** The same with words behind it: the longest valid beginning is meant. */
function redactIbans(text: string): string {
  return text.replace(IBAN, (found) => {
    for (let end = found.length; end >= 15; end--) {
      if (/[ -]/.test(found[end - 1] ?? '')) continue;
      const { iban } = extractIBAN(found.slice(0, end));
      if (isValidIBAN(iban.toUpperCase())) return replacementOf('Iban') + found.slice(end);
    }
    return found;
  });
}

const IPV4 = /(?<![0-9.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![0-9]|\.[0-9])/g;
const IPV6 =
  /(?<![0-9A-Za-z:])(?=[0-9A-Fa-f:.]{2,45})(?:[0-9A-Fa-f]{0,4}:){2,8}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![0-9A-Za-z:])/g;

/** At most eight groups; `::` at most once, and exactly where groups are left out. */
function isIpv6(found: string): boolean {
  const groups = found.replace(/(?:\d{1,3}\.){3}\d{1,3}$/, '0:0');
  const halves = groups.split('::');
  const count = groups.split(':').filter((group) => group !== '').length;
  return halves.length === 2 ? count > 0 && count <= 7 : halves.length === 1 && count === 8 && !/^:|:$/.test(groups);
}

function redactAddresses(text: string): string {
  const six = text.includes(':') ? byPattern('IpAddress', IPV6, isIpv6)(text) : text;
  return six.replace(IPV4, replacementOf('IpAddress'));
}

function isJwt(found: string): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(found.split('.')[0] ?? '', 'base64url').toString('utf8'));
    return typeof header === 'object' && header !== null && 'alg' in header;
  } catch {
    return false;
  }
}

/** What the library cannot find a valid number without; it is slow, and most cells end here. */
const PHONE_SHAPE = /[+\uff0b]|(?:\p{Nd}[^\p{L}\p{N}]{0,4}){9}\p{Nd}/u;

/** International numbers, and national ones of the United States; behind and before other digits there is no number. */
function redactPhones(text: string): string {
  if (!mayHoldPhone(text) || !PHONE_SHAPE.test(text)) return text;
  let result = '';
  let position = 0;
  for (const { startsAt, endsAt } of findPhoneNumbersInText(text, { defaultCountry: 'US', extended: true })) {
    result += text.slice(position, startsAt) + replacementOf('PhoneNumber');
    position = endsAt;
  }
  return position === 0 ? text : result + text.slice(position);
}

/** In the order in which they run: the more certain first. */
const DETECTORS: readonly Detector[] = [
  { name: 'PrivateKey', sign: 'begin', redact: byPattern('PrivateKey', PRIVATE_KEY) },
  { name: 'Jwt', sign: 'eyJ', redact: byPattern('Jwt', JWT, isJwt) },
  { name: 'AwsAccessKey', sign: 'akia', redact: byPattern('AwsAccessKey', AWS_ACCESS_KEY) },
  { name: 'EmailAddress', sign: 'at', redact: redactEmails },
  { name: 'Iban', sign: 'iban', redact: redactIbans },
  { name: 'CreditCard', sign: 'card', redact: byPattern('CreditCard', CARD, isCard) },
  { name: 'UsSsn', sign: 'ssn', redact: byPattern('UsSsn', SSN) },
  { name: 'IpAddress', sign: 'address', redact: redactAddresses },
  { name: 'PhoneNumber', sign: 'phone', redact: redactPhones },
];

/** The detectors of these names; undefined stands for a name that is none. */
export function detectorsOf(names: readonly string[]): readonly Detector[] | undefined {
  if (names.some((name) => !DETECTORS.some((detector) => detector.name === name))) return undefined;
  return DETECTORS.filter((detector) => names.includes(detector.name));
}
