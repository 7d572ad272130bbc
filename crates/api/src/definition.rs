//! The definitions (CRDs) of all kinds, as `kubectl apply` wants them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{ProxmoxCluster, ProxmoxClusterTemplate, ProxmoxMachine, ProxmoxMachineTemplate};

/// The contracts of Cluster API that the kinds here keep, as labels of their definitions: a core that speaks one of
/// them finds our version there.
pub const CONTRACTS: [&str; 2] = ["cluster.x-k8s.io/v1beta1", "cluster.x-k8s.io/v1beta2"];

/// The definitions of all kinds, labelled with the contracts of Cluster API.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        ProxmoxCluster::crd(),
        ProxmoxClusterTemplate::crd(),
        ProxmoxMachine::crd(),
        ProxmoxMachineTemplate::crd(),
    ];
    for definition in &mut all {
        let labels = definition.metadata.labels.get_or_insert_default();
        for contract in CONTRACTS {
            labels.insert(contract.into(), crate::VERSION.into());
        }
        labels.insert("cluster.x-k8s.io/provider".into(), "infrastructure-proxmox".into());
        let machine = definition.spec.names.kind == "ProxmoxMachine";
        for version in &mut definition.spec.versions {
            if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
                forbid_null(schema);
                if machine {
                    begin_unknown(schema);
                }
            }
        }
    }
    all
}

/// A machine that no controller has seen yet is `Unknown`, not missing its condition: Cluster API would take that for
/// `False`, and a MachineHealthCheck that waits for nothing would replace it at once.
fn begin_unknown(schema: &mut JSONSchemaProps) {
    let status = schema.properties.as_mut().and_then(|properties| properties.get_mut("status"));
    if let Some(status) = status {
        status.default = Some(JSON(serde_json::json!({"conditions": [{
            "type": "Ready",
            "status": "Unknown",
            "reason": "Pending",
            "message": "waiting for the controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }]})));
    }
}

/// An optional field is absent, never null: a rule (CEL) would see null, a default would not replace it.
fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for property in schema.properties.iter_mut().flatten() {
        forbid_null(property.1);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => forbid_null(items),
        Some(JSONSchemaPropsOrArray::Schemas(all)) => all.iter_mut().for_each(forbid_null),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        forbid_null(values);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn machine() -> serde_json::Value {
        let all = definitions();
        let found = all.iter().find(|d| d.spec.names.kind == "ProxmoxMachine").unwrap();
        serde_json::to_value(found).unwrap()
    }

    #[test]
    fn no_field_may_be_null() {
        for definition in definitions() {
            assert!(!definition_yaml(&definition).unwrap().contains("nullable"));
        }
    }

    #[test]
    fn a_core_of_either_contract_finds_our_version() {
        for definition in definitions() {
            let labels = definition.metadata.labels.unwrap();
            assert_eq!(labels["cluster.x-k8s.io/v1beta1"], "v1alpha2");
            assert_eq!(labels["cluster.x-k8s.io/v1beta2"], "v1alpha2");
        }
    }

    #[test]
    fn a_machine_begins_unknown() {
        let status = &machine()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(status["default"]["conditions"][0]["status"], "Unknown");
    }

    #[test]
    fn what_the_peer_defaults_is_defaulted() {
        let schema = &machine()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        assert_eq!(schema["full"]["default"], true);
        let nic = &schema["network"]["properties"]["networkDevices"];
        assert_eq!(nic["items"]["properties"]["name"]["default"], "net0");
        assert_eq!(nic["items"]["properties"]["model"]["default"], "virtio");
        assert_eq!(nic["x-kubernetes-list-map-keys"], serde_json::json!(["name"]));
        assert_eq!(schema["templateSelector"]["properties"]["matchPolicy"]["default"], "exact");
    }
}

/// A definition that could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("print the definition of `{name}`")]
pub struct PrintError {
    name: String,
    #[source]
    source: serde_saphyr::ser::Error,
}

/// One definition as YAML.
pub fn definition_yaml(definition: &CustomResourceDefinition) -> Result<String, PrintError> {
    serde_saphyr::to_string(definition)
        .map_err(|source| PrintError { name: definition.metadata.name.clone().unwrap_or_default(), source })
}
