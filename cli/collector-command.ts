/** The options of `postern collector`; each may come from the environment, as the chart sets it. */
import { type Command, Option } from 'commander';

export function withCollectorOptions(command: Command): Command {
  const option = (flags: string, description: string, variable: string, standard?: string): void => {
    const made = new Option(flags, description).env(variable);
    command.addOption(standard === undefined ? made : made.default(standard));
  };
  option('--bucket <name>', 'S3 bucket', 'POSTERN_S3_BUCKET');
  option('--prefix <prefix>', 'what the keys of all objects begin with', 'POSTERN_S3_PREFIX', '');
  option('--endpoint <url>', 'S3 endpoint; without it AWS', 'POSTERN_S3_ENDPOINT');
  option('--region <region>', 'S3 region', 'AWS_REGION', 'us-east-1');
  option('--path-style', 'address the bucket by path, as most S3 servers want it', 'POSTERN_S3_PATH_STYLE');
  option('--kms-key-id <id>', 'encrypt with this KMS key (SSE-KMS)', 'POSTERN_S3_KMS_KEY_ID');
  option('--lock-mode <mode>', 'Object Lock: GOVERNANCE or COMPLIANCE', 'POSTERN_S3_LOCK_MODE', 'GOVERNANCE');
  option('--lock-days <days>', 'Object Lock: how long; without it the bucket decides', 'POSTERN_S3_LOCK_DAYS');
  option('--digest-key <file>', 'Ed25519 key in PEM that signs digests', 'POSTERN_DIGEST_KEY');
  option('--tls-cert <file>', 'certificate in PEM', 'POSTERN_TLS_CERT');
  option('--tls-key <file>', 'its key in PEM', 'POSTERN_TLS_KEY');
  option('--plain-http', 'serve without TLS', 'POSTERN_PLAIN_HTTP');
  option('--issuer <url>', 'check tokens by JWKS: their issuer; without it by TokenReview', 'POSTERN_TOKEN_ISSUER');
  option('--jwks-uri <url>', 'check tokens by JWKS: where the keys are (https: or file:)', 'POSTERN_TOKEN_JWKS_URI');
  option(
    '--max-object-mebibytes <n>',
    'an object is written when its records, not packed, have this size',
    'POSTERN_MAX_OBJECT_MEBIBYTES',
    '32',
  );
  option('--max-delay-ms <ms>', 'or when its first records have waited so long', 'POSTERN_MAX_DELAY_MS', '500');
  option(
    '--max-pending-mebibytes <n>',
    'packed batches in memory: beyond this senders are told to wait',
    'POSTERN_MAX_PENDING_MEBIBYTES',
    '32',
  );
  option('--drain-seconds <s>', 'on SIGTERM: how long batches are still taken', 'POSTERN_DRAIN_SECONDS', '5');
  option('--listen <host:port>', 'where sidecars send records', 'POSTERN_LISTEN', ':8443');
  option('--admin <host:port>', 'where /livez, /readyz and /metrics are served', 'POSTERN_ADMIN', ':19464');
  return command;
}
