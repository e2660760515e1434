/** All commands of `postern`. Each is a module of its own, loaded when it is asked for. */
import { Argument, type Command } from 'commander';
import { collect } from './arguments.ts';
import type { CheckArguments } from './check.ts';
import type { CollectorArguments } from './collector.ts';
import { withCollectorOptions } from './collector-command.ts';
import type { OperatorArguments } from '#operator/settings.ts';
import { withOperatorOptions } from './operator-command.ts';
import type { ExportArguments } from './export.ts';
import { addCommand, newProgram, runProgram } from './program.ts';
import { addProxyCommand } from './proxy-command.ts';
import type { ReplayArguments } from './replay.ts';
import { withStoreOptions } from './store-options.ts';
import type { VerifyArguments } from './verify.ts';

const program = newProgram();

function withIdentity(command: Command): Command {
  return command
    .requiredOption(
      '--manifests <path>',
      'file or folder with DatabaseConnection, DatabaseAccessPolicy and Secret in YAML',
    )
    .requiredOption('--connection <ns/name>', 'the DatabaseConnection')
    .requiredOption('--as <ns/serviceaccount>', 'who asks: namespace and service account')
    .option('--group <group>', 'a group of the identity; may stand several times', collect, [])
    .option('--claim <name=value>', 'a claim of the identity; may stand several times', collect, []);
}

addProxyCommand(program, async (options) => {
  const { runProxy } = await import('./proxy.ts');
  return await runProxy(options);
});

withIdentity(addCommand(program, 'check'))
  .description('Decide one SQL text as the gate would: exit 0 allowed, 3 denied, 4 needs approval.')
  .argument('<sql>', 'the statement')
  .option('--json', 'print JSON')
  .action(async (sql: string, options: CheckArguments) => {
    const { runCheck } = await import('./check.ts');
    process.exitCode = await runCheck(sql, options);
  });

addCommand(program, 'demo')
  .description(
    'Start a database with sample data, the gate and a scripted agent; show what was allowed, masked and denied.',
  )
  .option('--once', 'exit when the script has run')
  .action(async (options: { readonly once?: boolean }) => {
    const { runDemo } = await import('./demo.ts');
    process.exitCode = await runDemo(options);
  });

withOperatorOptions(addCommand(program, 'operator'))
  .description(
    'Run the operator of a cluster: it injects sidecars, signs policies for them and hands out credentials. In a pod, or with KUBECONFIG.',
  )
  .addArgument(
    new Argument('[task]', 'uninstall: stop the operator, then remove its bundles and Leases; keys stay')
      .choices(['run', 'uninstall'])
      .default('run'),
  )
  .action(async (task: 'run' | 'uninstall', options: OperatorArguments) => {
    const { runOperator, runUninstall } = await import('./operator.ts');
    process.exitCode = await (task === 'run' ? runOperator(options) : runUninstall(options));
  });

withCollectorOptions(addCommand(program, 'collector'))
  .description('Take audit records from sidecars, check their chains, and write them to S3 once.')
  .action(async (options: CollectorArguments) => {
    const { runCollector } = await import('./collector.ts');
    process.exitCode = await runCollector(options);
  });

withStoreOptions(addCommand(program, 'verify'))
  .description(
    'Check the hash chains of audit records, and the digests of the objects that hold them: what was changed, is missing, moved or cut off is named. Exit 0: all hold, 1: not.',
  )
  .argument('<source>', 'a file or folder of records, or s3://BUCKET/PREFIX')
  .option('--open', 'accept chains whose process still runs, and objects whose digest is still to come')
  .option('--json', 'print JSON')
  .option(
    '--digest-key <file>',
    'public key in PEM that signs digests: required for the objects of a collector; may stand several times',
    collect,
    [],
  )
  .option(
    '--without-digests',
    'check the chains of records in a bucket alone, without what proves that they are the ones written',
  )
  .action(async (source: string, options: VerifyArguments) => {
    const { runVerify } = await import('./verify.ts');
    process.exitCode = await runVerify(source, options);
  });

withStoreOptions(addCommand(program, 'replay'))
  .description(
    'Show a recorded session as it happened: what was asked, what was decided and why, what the agent received. Without --session: the sessions found.',
  )
  .argument('<source>', 'a file or folder of records, or s3://BUCKET/PREFIX')
  .option('--session <id>', 'the session')
  .option('--speed <n>', '1: as it happened, 10: ten times as fast, 0: at once', '1')
  .option('--html <file>', 'write one HTML page to step through instead')
  .action(async (source: string, options: ReplayArguments) => {
    const { runReplay } = await import('./replay.ts');
    process.exitCode = await runReplay(source, options);
  });

withStoreOptions(addCommand(program, 'export'))
  .description('Copy records into Parquet files, one folder a day, for DuckDB, Athena and the like.')
  .argument('<source>', 'a file or folder of records, or s3://BUCKET/PREFIX')
  .requiredOption('--parquet <directory>', 'a new or empty folder')
  .action(async (source: string, options: ExportArguments) => {
    const { runExport } = await import('./export.ts');
    process.exitCode = await runExport(source, options);
  });

await runProgram(program);
