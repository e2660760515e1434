/** Kind → REST path, for the kinds that Postern handles. A kind that is not listed is an error, never a guess. */
import type { ObjectReference } from './object.ts';

interface Resource {
  readonly plural: string;
  readonly namespaced: boolean;
}

const namespaced = (plural: string): Resource => ({ plural, namespaced: true });
const clusterWide = (plural: string): Resource => ({ plural, namespaced: false });

const RESOURCES: Readonly<Record<string, Resource>> = {
  'v1/ConfigMap': namespaced('configmaps'),
  'v1/Namespace': clusterWide('namespaces'),
  'v1/Pod': namespaced('pods'),
  'v1/Secret': namespaced('secrets'),
  'v1/Service': namespaced('services'),
  'v1/ServiceAccount': namespaced('serviceaccounts'),
  'apps/v1/DaemonSet': namespaced('daemonsets'),
  'apps/v1/Deployment': namespaced('deployments'),
  'apps/v1/ReplicaSet': namespaced('replicasets'),
  'apps/v1/StatefulSet': namespaced('statefulsets'),
  'batch/v1/CronJob': namespaced('cronjobs'),
  'batch/v1/Job': namespaced('jobs'),
  'coordination.k8s.io/v1/Lease': namespaced('leases'),
  'events.k8s.io/v1/Event': namespaced('events'),
  'postern.dev/v1alpha1/DatabaseConnection': namespaced('databaseconnections'),
  'postern.dev/v1alpha1/DatabaseAccessPolicy': namespaced('databaseaccesspolicies'),
  'admissionregistration.k8s.io/v1/MutatingWebhookConfiguration': clusterWide('mutatingwebhookconfigurations'),
  'admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration': clusterWide('validatingwebhookconfigurations'),
  'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy': clusterWide('validatingadmissionpolicies'),
  'admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding': clusterWide('validatingadmissionpolicybindings'),
  'apiextensions.k8s.io/v1/CustomResourceDefinition': clusterWide('customresourcedefinitions'),
  'authentication.k8s.io/v1/TokenReview': clusterWide('tokenreviews'),
  'authorization.k8s.io/v1/SubjectAccessReview': clusterWide('subjectaccessreviews'),
  'rbac.authorization.k8s.io/v1/ClusterRole': clusterWide('clusterroles'),
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': clusterWide('clusterrolebindings'),
  'rbac.authorization.k8s.io/v1/Role': namespaced('roles'),
  'rbac.authorization.k8s.io/v1/RoleBinding': namespaced('rolebindings'),
};

/** Path of a collection; of all namespaces where the kind is namespaced and none is given. Throws on a kind that is not listed. */
export function collectionPath(of: Omit<ObjectReference, 'name'>): string {
  const resource = RESOURCES[`${of.apiVersion}/${of.kind}`];
  if (resource === undefined) throw new Error(`no path is known for ${of.apiVersion} ${of.kind}`);
  const root = of.apiVersion.includes('/') ? `/apis/${of.apiVersion}` : `/api/${of.apiVersion}`;
  const inside =
    resource.namespaced && of.namespace !== undefined ? `/namespaces/${encodeURIComponent(of.namespace)}` : '';
  return `${root}${inside}/${resource.plural}`;
}

/** Path of one object. Throws where a namespaced kind comes without its namespace. */
export function objectPath(of: ObjectReference): string {
  const resource = RESOURCES[`${of.apiVersion}/${of.kind}`];
  if (resource?.namespaced === true && of.namespace === undefined) {
    throw new Error(`${of.kind} ${of.name} is namespaced, and no namespace is given`);
  }
  return `${collectionPath(of)}/${encodeURIComponent(of.name)}`;
}
