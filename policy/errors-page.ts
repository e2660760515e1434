import { REASONS } from './reasons.ts';

/** The rows of docs/errors.md, from the one table of reasons (hack/errors-doc.ts writes it, a test compares). */
export function errorsPage(): string {
  const rows = Object.entries(REASONS).map(([slug, reason]) => {
    const message = reason.template.replaceAll('|', '\\|');
    return `| \`postern:${slug}\` | ${reason.sqlstate} | ${reason.severity} | ${reason.disposition} | \`${message}\` |`;
  });
  return `${HEAD}${rows.join('\n')}\n`;
}

const HEAD = `# Errors

Made from \`policy/reasons.ts\` by \`node hack/errors-doc.ts\`; edit there.

Every refusal reaches the client as an ErrorResponse: the message (field M) says what to do next, the routine (field R) carries the
stable reason. An \`ERROR\` leaves the session open, a \`FATAL\` closes it. In a message \`{name}\` is filled in, and a part in
\`[ ]\` is left out where there is nothing to say. \`undefined_object\` answers with the SQLSTATE that PostgreSQL itself gives (42P01, 42703,
34000, 26000). With \`errors.detail: Generic\` every message is the policy's own and the reason reads \`postern:denied\`; the
audit record has the full text.

| reason (field R) | SQLSTATE | severity | disposition | message |
|---|---|---|---|---|
`;
