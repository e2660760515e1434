/**
 * What of an agent's text may stand in a record. Records keep statements as they came, literals included, with two exceptions: things
 * that are secrets by their form (tokens, keys, passwords in URLs) go wherever they stand, and a text that speaks of passwords or secrets
 * loses every string literal: which of them is the secret is not worth guessing.
 */

/** Token forms. Each is linear: no nested quantifier. */
export const JWT = /eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*/g;
export const AWS_ACCESS_KEY = /(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/g;
export const PRIVATE_KEY =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END )[\s\S])*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?/g;
const URL_PASSWORD = /(:\/\/[^\s:/@'"]{0,256}:)[^\s@'"]{1,1024}(?=@)/g;

const TOKEN_HINT = /eyJ|AKIA|ASIA|-----BEGIN |:\/\//;
/** `pass_?word` and the rest, as keyword, column, setting or key of a connection string. */
const SECRET_WORD =
  /pass_?w|passwd|passphrase|pwd|secret|token|api_?key|credential|bearer|scram-sha|\bmd5[0-9a-f]{32}/i;

const REDACTED = '[redacted]';

/** The text as it may be recorded. */
export function redactText(text: string): string {
  let result = text;
  if (SECRET_WORD.test(result)) result = redactLiterals(result);
  return TOKEN_HINT.test(result) ? redactTokens(result) : result;
}

/** Secrets by their form, anywhere. */
function redactTokens(text: string): string {
  return text
    .replace(PRIVATE_KEY, '[redacted:PrivateKey]')
    .replace(JWT, '[redacted:Jwt]')
    .replace(AWS_ACCESS_KEY, '[redacted:AwsAccessKey]')
    .replace(URL_PASSWORD, `$1${REDACTED}`);
}

/** Quoted strings of every kind, and comments, which may hold anything; quoted names stay. */
const QUOTED =
  /'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|\$([A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$|--[^\n]*|\/\*/g;

function redactLiterals(text: string): string {
  // With backslash escapes the end of a literal depends on settings and prefix: everything behind the first quote goes.
  const firstQuote = text.indexOf("'");
  if (firstQuote >= 0 && text.includes("\\'", firstQuote)) {
    return `${redactLiterals(text.slice(0, firstQuote))}'${REDACTED}`;
  }
  let result = '';
  let position = 0;
  QUOTED.lastIndex = 0;
  for (let match = QUOTED.exec(text); match !== null; match = QUOTED.exec(text)) {
    const [found] = match;
    result += text.slice(position, match.index);
    position = match.index + found.length;
    if (found.startsWith('"')) result += found;
    else if (found.startsWith('--')) result += `-- ${REDACTED}`;
    else if (found === '/*') {
      // Comments nest; rather too much than too little.
      const end = text.lastIndexOf('*/');
      result += `/* ${REDACTED} */`;
      position = end < position ? text.length : end + 2;
    } else if (found.startsWith('$')) {
      const end = text.indexOf(found, position);
      result += `'${REDACTED}'`;
      position = end < 0 ? text.length : end + found.length;
    } else result += `'${REDACTED}'`;
    QUOTED.lastIndex = position;
  }
  return result + text.slice(position);
}
