/** The options of `postern operator`. Each can also come from the environment, as in the chart's Deployment. */
import { type Command, Option } from 'commander';

interface OperatorOption {
  readonly flag: string;
  readonly environment: string;
  readonly fallback: string;
  readonly description: string;
}

const OPTIONS: readonly OperatorOption[] = [
  {
    flag: '--namespace <name>',
    environment: 'POD_NAMESPACE',
    fallback: 'postern-system',
    description: 'the namespace that the operator runs in and keeps its keys in',
  },
  {
    flag: '--pod-name <name>',
    environment: 'POD_NAME',
    fallback: 'postern-operator',
    description: 'names this replica in the Lease and in Events',
  },
  {
    flag: '--service <name>',
    environment: 'POSTERN_SERVICE',
    fallback: 'postern-operator',
    description: "the operator's Service, which certificates are made out to",
  },
  { flag: '--image <image>', environment: 'POSTERN_IMAGE', fallback: '', description: 'the image that sidecars run' },
  {
    flag: '--image-pull-policy <policy>',
    environment: 'POSTERN_IMAGE_PULL_POLICY',
    fallback: 'IfNotPresent',
    description: 'of sidecars: Always, IfNotPresent or Never',
  },
  {
    flag: '--connection-namespaces <names>',
    environment: 'POSTERN_CONNECTION_NAMESPACES',
    fallback: '',
    description: 'namespaces with DatabaseConnections whose Secrets may be read, with commas',
  },
  {
    flag: '--operator-url <url>',
    environment: 'POSTERN_OPERATOR_URL',
    fallback: '',
    description: 'where sidecars ask for credentials (default: https://SERVICE.NAMESPACE.svc:8443)',
  },
  {
    flag: '--collector-url <url>',
    environment: 'POSTERN_COLLECTOR_URL',
    fallback: '',
    description: 'where sidecars send audit records; without it they stay in the spool',
  },
  {
    flag: '--collector-service <name>',
    environment: 'POSTERN_COLLECTOR_SERVICE',
    fallback: '',
    description:
      "the collector's Service in this namespace, whose certificate and digest key are kept; without it there is none",
  },
  {
    flag: '--certificates <mode>',
    environment: 'POSTERN_CERTIFICATES',
    fallback: 'self',
    description: 'self: made and rotated by the operator; certManager, external: from files',
  },
  {
    flag: '--certificate-directory <path>',
    environment: 'POSTERN_CERTIFICATE_DIRECTORY',
    fallback: '/etc/postern/tls',
    description: 'tls.crt, tls.key and ca.crt for certManager and external',
  },
  {
    flag: '--rotation-overlap <seconds>',
    environment: 'POSTERN_ROTATION_OVERLAP_SECONDS',
    fallback: '600',
    description: 'how long a new key or authority is made known before it is used',
  },
  {
    flag: '--sidecar-resources <json>',
    environment: 'POSTERN_SIDECAR_RESOURCES',
    fallback: '{"requests":{"cpu":"50m","memory":"96Mi"},"limits":{"memory":"256Mi"}}',
    description: 'requests and limits of sidecars',
  },
  {
    flag: '--sidecar-log-level <level>',
    environment: 'POSTERN_SIDECAR_LOG_LEVEL',
    fallback: 'info',
    description: 'of sidecars: trace, debug, info, warn or error',
  },
  {
    flag: '--spool-size-limit <quantity>',
    environment: 'POSTERN_SPOOL_SIZE_LIMIT',
    fallback: '256Mi',
    description: "size of the volume for a sidecar's audit records",
  },
  {
    flag: '--webhook-listen <host:port>',
    environment: 'POSTERN_WEBHOOK_LISTEN',
    fallback: ':9443',
    description: 'where the API server calls admission (HTTPS)',
  },
  {
    flag: '--credentials-listen <host:port>',
    environment: 'POSTERN_CREDENTIALS_LISTEN',
    fallback: ':8443',
    description: 'where sidecars ask for credentials (HTTPS)',
  },
  {
    flag: '--admin <host:port>',
    environment: 'POSTERN_ADMIN_LISTEN',
    fallback: ':19464',
    description: 'where /livez, /readyz and /metrics are served',
  },
];

/** Adds them to the command. */
export function withOperatorOptions(command: Command): Command {
  for (const { flag, environment, fallback, description } of OPTIONS) {
    command.addOption(new Option(flag, description).env(environment).default(fallback));
  }
  return command;
}
