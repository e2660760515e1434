/** `postern operator`: what runs in the operator's Deployment. */
import { ClusterClient } from '#kubernetes/cluster-client.ts';
import { loadKubeConfig } from '#kubernetes/kube-config.ts';
import { type OperatorArguments, readSettings, SettingsError } from '#operator/settings.ts';
import { startOperator } from '#operator/start.ts';
import { uninstall } from '#operator/uninstall.ts';
import { startAdmin } from '#proxy/admin.ts';
import { openLog } from '#proxy/log.ts';
import { version } from './version.ts';

/** While a pod ends, Services take a moment to leave it out: requests that still come are answered. */
const DRAIN_MS = 3000;

/** Runs until SIGTERM or SIGINT, or until the lead is lost; resolves to the exit code. */
export async function runOperator(given: OperatorArguments): Promise<number> {
  const settings = readSettingsOrReport(given);
  if (settings === undefined) return 2;
  const log = openLog();
  // Not every failure has a caller left to tell; one that is not expected ends the process, and Kubernetes begins it anew.
  process.on('unhandledRejection', (error) => {
    log.error({ error: error instanceof Error ? error.message : 'unknown error' }, 'unhandled; ending');
    process.exit(1);
  });
  const running = await startOperator({
    settings,
    loadKubeConfig: () => loadKubeConfig(),
    serveAdmin: async ({ host, port }, sources) => await startAdmin(host, port, sources),
    log,
    onLost: () => process.exit(1),
  });
  log.info({ admin: running.adminPort, version, namespace: settings.namespace }, 'the operator has started');
  const signal = await untilSignal();
  log.info({ signal }, 'ending: the lead is given back, what is under way is answered');
  process.once('SIGTERM', () => process.exit(1));
  process.once('SIGINT', () => process.exit(1));
  await running.close(signal === 'SIGTERM' ? DRAIN_MS : 0);
  return 0;
}

/** How long the operator's pods may take to end. */
const STOP_TIMEOUT_MS = 60_000;

/** `postern operator uninstall`: before the chart is removed; resolves to the exit code. */
export async function runUninstall(given: OperatorArguments): Promise<number> {
  const log = openLog();
  const client = new ClusterClient(() => loadKubeConfig(), log);
  const settings = { namespace: given.namespace, deployment: given.service, stopTimeoutMs: STOP_TIMEOUT_MS };
  await uninstall(client, settings, log);
  client.close();
  return 0;
}

function readSettingsOrReport(given: OperatorArguments): ReturnType<typeof readSettings> | undefined {
  try {
    return readSettings(given, version);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    for (const problem of error.problems) process.stderr.write(`postern operator: ${problem}\n`);
    return undefined;
  }
}

async function untilSignal(): Promise<string> {
  return await new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'));
    process.once('SIGINT', () => resolve('SIGINT'));
  });
}
