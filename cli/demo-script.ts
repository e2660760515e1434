/** What the demo's agents ask, in order. Data only: the sample is demo/shop.sql, the policies are demo/manifests/. */
export type DemoAgent = 'support-bot' | 'ops-bot';

export interface DemoStep {
  readonly agent: DemoAgent;
  /** What this step shows, in a few words. */
  readonly title: string;
  readonly sql: string;
  readonly parameters?: readonly (string | number)[];
  /** SQLSTATE that it must end with; `00000` if absent. The demo fails where it ends otherwise. */
  readonly sqlstate?: '42501' | '42703';
}

export const DEMO_STEPS: readonly DemoStep[] = [
  {
    agent: 'support-bot',
    title: 'look at some customers',
    sql: 'SELECT id, name, email, phone, birth_date, region FROM customers ORDER BY id LIMIT 4',
  },
  {
    agent: 'support-bot',
    title: 'ask for a customer of another region',
    sql: 'SELECT name, city FROM customers WHERE id = $1',
    parameters: [1],
  },
  {
    agent: 'support-bot',
    title: 'search by a masked value',
    sql: "SELECT id, name FROM customers WHERE email LIKE 'oona.dahl2@%'",
  },
  {
    agent: 'support-bot',
    title: 'provoke an error on rows that are out of view',
    sql: "SELECT count(*) FROM customers WHERE region = 'eu' OR 1 / (id - id) > 0",
  },
  {
    agent: 'support-bot',
    title: 'read a granted view, joined with payments',
    sql: `SELECT s.order_id, s.status, s.total, p.card_number, p.iban
FROM order_summary s JOIN payments p USING (order_id)
WHERE s.total > 400 ORDER BY s.order_id LIMIT 4`,
  },
  {
    agent: 'support-bot',
    title: 'read free text: the second wall',
    sql: 'SELECT id, body FROM tickets ORDER BY id LIMIT 6',
  },
  {
    agent: 'support-bot',
    title: 'read a table that is not granted',
    sql: 'SELECT name, salary FROM employees',
    sqlstate: '42501',
  },
  {
    agent: 'support-bot',
    title: 'read a hidden column',
    sql: 'SELECT name, password_hash FROM customers',
    sqlstate: '42703',
  },
  {
    agent: 'support-bot',
    title: 'write without the right to',
    sql: "UPDATE orders SET status = 'paid' WHERE id = 7",
    sqlstate: '42501',
  },
  { agent: 'support-bot', title: 'take it all away', sql: 'COPY customers TO STDOUT', sqlstate: '42501' },
  {
    agent: 'support-bot',
    title: "read a file of the server's",
    sql: "SELECT pg_read_file('/etc/passwd')",
    sqlstate: '42501',
  },
  {
    agent: 'support-bot',
    title: 'smuggle a second statement in',
    sql: 'SELECT 1; DROP TABLE orders',
    sqlstate: '42501',
  },
  {
    agent: 'ops-bot',
    title: 'change an order',
    sql: "UPDATE orders SET status = 'shipped' WHERE id = $1 RETURNING id, customer_id, status",
    parameters: [17],
  },
  {
    agent: 'ops-bot',
    title: 'compute with a masked column',
    sql: 'SELECT team, count(*), min(salary), max(salary) FROM employees GROUP BY team ORDER BY team',
  },
  { agent: 'ops-bot', title: 'forget the WHERE', sql: 'UPDATE products SET price = 0.01', sqlstate: '42501' },
  {
    agent: 'ops-bot',
    title: 'write a row that would leave the view',
    sql: "UPDATE tickets SET state = 'closed' WHERE id = 3",
    sqlstate: '42501',
  },
  { agent: 'ops-bot', title: 'delete: a human must agree', sql: 'DELETE FROM orders WHERE id = 3', sqlstate: '42501' },
];
