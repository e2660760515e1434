/**
 * What admission knows besides the request: what this release injects, what it injected before, and which connections exist.
 * Everything in `operator/admission` is pure: requests and pods are raw JSON in, answers are raw JSON out.
 */
import type { DatabaseConnection } from '#crds/kinds.ts';

/** Requests and limits as a pod spec holds them: `{cpu: '50m', memory: '96Mi'}`. */
export interface SidecarResources {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

/** What one release of the operator injects, as far as it does not depend on the pod. */
export interface SidecarTemplate {
  /** Version of the program: `0.1.0`. */
  readonly release: string;
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** `https://postern-operator.<namespace>.svc:8443`. */
  readonly operatorUrl: string;
  /** Empty: there is no collector, records stay in the spool. */
  readonly collectorUrl: string;
  /** trace, debug, info, warn or error. */
  readonly logLevel: string;
  readonly resources: SidecarResources;
  /** A Kubernetes quantity; the proxy's own bound is 80 % of it. */
  readonly spoolSizeLimit: string;
  /** Absent: what the code of this release makes of it. */
  readonly shape?: SidecarShape;
}

/**
 * What the code of a release makes of a template, with marks where a pod's connections and the root keys go (sidecar.ts). It is kept for
 * templates of earlier releases, since the code of this one may make something else of them.
 */
export interface SidecarShape {
  readonly container: Readonly<Record<string, unknown>>;
  readonly volumes: readonly Readonly<Record<string, unknown>>[];
  /** The source in the volume of bundles that each connection has. */
  readonly bundleSource: Readonly<Record<string, unknown>>;
}

export interface AdmissionContext {
  /** What is injected now. */
  readonly template: SidecarTemplate;
  /** What was injected before and may still run (see template-record.ts). */
  readonly previousTemplates: readonly SidecarTemplate[];
  /** Ed25519 public keys, raw in base64url, that new pods get; at least one. */
  readonly rootKeys: readonly string[];
  /** Those that running pods may carry besides: roots that retire. */
  readonly retiringRootKeys: readonly string[];
  readonly connection: (namespace: string, name: string) => DatabaseConnection | undefined;
}

/** The opt-in of pods: `postern.dev/inject: "true"`. */
export const INJECT_LABEL = 'postern.dev/inject';
/** `data/shop[,ns/name]`. */
export const CONNECTIONS_ANNOTATION = 'postern.dev/connections';
/** The port of the first connection; default 5432. */
export const PORT_ANNOTATION = 'postern.dev/port';
/** Written by the injector: release and hash of what was injected. */
export const INJECTED_ANNOTATION = 'postern.dev/injected';

export const SIDECAR_NAME = 'postern-proxy';
/** User and group. Distroless images use 65532, so it must be another. */
export const SIDECAR_UID = 21026;
/** Health and metrics, for the kubelet and Prometheus. */
export const ADMIN_PORT = 19464;

/** Prefix of the names of our volumes; no other container may mount one. */
export const VOLUME_PREFIX = 'postern-';
export const BUNDLES_VOLUME = 'postern-bundles';
export const TOKEN_VOLUME = 'postern-token';
export const SPOOL_VOLUME = 'postern-spool';

/** Tokens for the operator and the collector have audiences with this prefix. */
export const AUDIENCE_PREFIX = 'postern.dev/';
