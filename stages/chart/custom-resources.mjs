// custom-resources.mjs FILE...: whether each object of a kind that Kubernetes itself does not know is as the schema
// of its operator says. Prints the kinds that were looked at.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const required = createRequire(new URL(".cache/", import.meta.url));
const YAML = required("yaml");
const { Certificate } = required("@kubernetes-models/cert-manager/cert-manager.io/v1");
const { ScaledObject } = required("@kubernetes-models/keda/keda.sh/v1alpha1");
const { ServiceMonitor } = required("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1");
const KINDS = { Certificate, ScaledObject, ServiceMonitor };

for (const file of process.argv.slice(2)) {
  for (const document of YAML.parseAllDocuments(readFileSync(file, "utf8"))) {
    const object = document.toJS();
    const Kind = KINDS[object?.kind];
    if (!Kind) continue;
    new Kind(object).validate();
    console.log(object.kind);
  }
}
