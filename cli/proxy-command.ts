/** The options of `postern proxy`. */
import type { Command } from 'commander';
import { collect } from './arguments.ts';
import type { ProxyArguments } from './proxy.ts';
import { addCommand } from './program.ts';

/** Adds the command; `run` resolves to the exit code. */
export function addProxyCommand(program: Command, run: (options: ProxyArguments) => Promise<number>): void {
  addCommand(program, 'proxy')
    .description(
      'Run the gate: agents connect to it as to PostgreSQL. With --manifests without a cluster, and it reloads them when they change; with no option in a pod, from the injected environment.',
    )
    .option('--manifests <path>', 'file or folder with DatabaseConnection, DatabaseAccessPolicy and Secret in YAML')
    .option('--connection <ns/name>', 'the DatabaseConnection')
    .option('--as <ns/serviceaccount>', 'who asks: namespace and service account')
    .option('--group <group>', 'a group of the identity; may stand several times', collect, [])
    .option('--claim <name=value>', 'a claim of the identity; may stand several times', collect, [])
    .option('--listen <host:port>', 'where agents connect', '127.0.0.1:5432')
    .option('--tls-cert <file>', 'certificate in PEM for TLS towards agents')
    .option('--tls-key <file>', 'its key in PEM')
    .option('--audit-file <file>', 'where audit records go; without it they go to stdout')
    .option('--admin <host:port>', 'where /livez, /readyz and /metrics are served', '127.0.0.1:19464')
    .action(async (options: ProxyArguments) => {
      process.exitCode = await run(options);
    });
}
