/**
 * What keeps a pod from being injected (design §5, "Refused pods"): whatever would let another container of it read the sidecar's memory,
 * files, tokens or traffic, or the database's password. One function for each family; all findings are told at once.
 */
import {
  ADMIN_PORT,
  AUDIENCE_PREFIX,
  BUNDLES_VOLUME,
  SIDECAR_NAME,
  SIDECAR_UID,
  SPOOL_VOLUME,
  TOKEN_VOLUME,
  VOLUME_PREFIX,
} from './context.ts';
import {
  asList,
  asMap,
  type Json,
  mapsOf,
  otherContainers,
  type PlacedContainer,
  type PodRefusal,
  specOf,
  textOf,
} from './pod-json.ts';
import { type PodToJudge, redirections, secretUses } from './unsafe-database-use.ts';

/** Our volumes by exact name; their content is the injector's, and compared elsewhere. */
export const OWN_VOLUMES: ReadonlySet<string> = new Set([BUNDLES_VOLUME, TOKEN_VOLUME, SPOOL_VOLUME]);

/** Everything about a pod that is unsafe beside a sidecar; the sidecar itself and our volumes are not looked at. */
export function unsafePodRefusals(input: PodToJudge): readonly PodRefusal[] {
  const { pod } = input;
  return [
    ...podRefusals(pod),
    ...volumeRefusals(pod),
    ...otherContainers(pod).flatMap((placed) => containerRefusals(placed, input)),
    ...secretUses(input),
    ...redirections(input),
  ];
}

function podRefusals(pod: Json): readonly PodRefusal[] {
  const spec = specOf(pod);
  const found: PodRefusal[] = [];
  if (spec['shareProcessNamespace'] === true) {
    found.push({
      reason: 'SharedProcessNamespace',
      message: 'spec.shareProcessNamespace lets every container read the sidecar; remove it',
    });
  }
  for (const field of ['hostPID', 'hostNetwork', 'hostIPC']) {
    if (spec[field] === true) {
      found.push({ reason: 'HostNamespace', message: `spec.${field} reaches past the pod; remove it` });
    }
  }
  if (asMap(spec['os'])['name'] === 'windows') {
    found.push({ reason: 'UnsupportedSystem', message: 'spec.os.name: the sidecar runs on linux only' });
  }
  return [...found, ...userRefusals('spec.securityContext', asMap(spec['securityContext']))];
}

const USER_FIELDS = ['runAsUser', 'runAsGroup', 'fsGroup'];

function userRefusals(path: string, context: Json): readonly PodRefusal[] {
  const refuse = (field: string): PodRefusal => ({
    reason: 'SidecarUser',
    message: `${path}.${field} is ${SIDECAR_UID}, which is the sidecar's; choose another`,
  });
  const found = USER_FIELDS.filter((field) => isSidecarId(context[field])).map(refuse);
  return asList(context['supplementalGroups']).some(isSidecarId) ? [...found, refuse('supplementalGroups')] : found;
}

function isSidecarId(value: unknown): boolean {
  return value !== null && value !== '' && Number(value) === SIDECAR_UID;
}

function volumeRefusals(pod: Json): readonly PodRefusal[] {
  return mapsOf(specOf(pod)['volumes']).flatMap((volume) => {
    const name = textOf(volume['name']) ?? '?';
    if (OWN_VOLUMES.has(name)) return [];
    const found: PodRefusal[] = [];
    if (volume['hostPath'] !== undefined && volume['hostPath'] !== null) {
      found.push({
        reason: 'HostPath',
        message: `volume ${name}: a hostPath reaches the files of every pod on the node; use another kind of volume`,
      });
    }
    if (name.startsWith(VOLUME_PREFIX)) {
      found.push({
        reason: 'ReservedVolume',
        message: `volume ${name}: names that begin with ${VOLUME_PREFIX} are the sidecar's; rename it`,
      });
    }
    const audience = mapsOf(asMap(volume['projected'])['sources'])
      .map((source) => asMap(source['serviceAccountToken'])['audience'])
      .find((text): text is string => typeof text === 'string' && text.startsWith(AUDIENCE_PREFIX));
    if (audience !== undefined) {
      found.push({
        reason: 'ReservedToken',
        message: `volume ${name}: a token for the audience ${audience} is the sidecar's only; remove it`,
      });
    }
    return found;
  });
}

/** What Istio's traffic interception needs; it sees no memory and no file of the sidecar. `redirections` judges the traffic. */
const ISTIO_INIT_CAPABILITIES: ReadonlySet<unknown> = new Set(['NET_ADMIN', 'NET_RAW']);

function containerRefusals({ path, name, container }: PlacedContainer, input: PodToJudge): readonly PodRefusal[] {
  const context = asMap(container['securityContext']);
  const found: PodRefusal[] = [...userRefusals(`${path}.securityContext`, context)];
  if (name === SIDECAR_NAME) {
    found.push({
      reason: 'ReservedName',
      message: `${path}: the name ${SIDECAR_NAME} is the sidecar's; choose another`,
    });
  }
  if (context['privileged'] === true || asMap(context['windowsOptions'])['hostProcess'] === true) {
    found.push({
      reason: 'Privileged',
      message: `${path} (${name}): a privileged container can read the sidecar; drop it`,
    });
  }
  const added = asList(asMap(context['capabilities'])['add']);
  if (added.length > 0 && !(name === 'istio-init' && added.every((each) => ISTIO_INIT_CAPABILITIES.has(each)))) {
    found.push({
      reason: 'AddedCapabilities',
      message: `${path} (${name}): added capabilities (${added.join(', ')}) are not allowed beside the sidecar; remove them`,
    });
  }
  const procMount = context['procMount'];
  if (procMount !== undefined && procMount !== null && procMount !== 'Default') {
    found.push({ reason: 'ProcMount', message: `${path} (${name}): procMount must be Default; remove it` });
  }
  const target = container['targetContainerName'];
  if (target === SIDECAR_NAME) {
    found.push({
      reason: 'SharedProcessNamespace',
      message: `${path} (${name}): targets the sidecar, whose processes it could read; target another container`,
    });
  }
  return [...found, ...mountRefusals({ path, name, container }), ...portClashes({ path, name, container }, input)];
}

function mountRefusals({ path, name, container }: PlacedContainer): readonly PodRefusal[] {
  const mounts = [...mapsOf(container['volumeMounts']), ...mapsOf(container['volumeDevices'])];
  return mounts
    .map((mount) => textOf(mount['name']) ?? '')
    .filter((volume) => volume.startsWith(VOLUME_PREFIX))
    .map((volume) => ({
      reason: 'ReservedVolume',
      message: `${path} (${name}): mounts ${volume}, which is the sidecar's; remove the mount`,
    }));
}

/** Containers of a pod share its ports: the second to listen fails. */
function portClashes(placed: PlacedContainer, { requested }: PodToJudge): readonly PodRefusal[] {
  const taken = new Map<number, string>([
    [ADMIN_PORT, "the sidecar's health and metrics"],
    ...requested.map(({ namespace, name, port }) => [port, `connection ${namespace}/${name}`] as const),
  ]);
  return mapsOf(placed.container['ports']).flatMap((entry) => {
    const port = Number(entry['containerPort']);
    const owner = taken.get(port);
    if (owner === undefined || (entry['protocol'] ?? 'TCP') !== 'TCP') return [];
    const advice =
      port === ADMIN_PORT
        ? 'let the container listen elsewhere'
        : 'let the container listen elsewhere, or move the connections with the annotation postern.dev/port';
    return [
      { reason: 'PortClash', message: `${placed.path} (${placed.name}): port ${port} is taken by ${owner}; ${advice}` },
    ];
  });
}
