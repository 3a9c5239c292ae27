//! CycloneDX 1.6.

use serde_json::{Value, json};

use crate::purl::purl;
use crate::sbom::{Sbom, uuid};

/// The SBOM as JSON of CycloneDX 1.6.
pub fn cyclonedx(sbom: &Sbom) -> Vec<u8> {
    let Sbom { image, tool, .. } = sbom;
    let sha256 = |digest: &str| json!({"alg": "SHA-256", "content": digest});
    let mut components = Vec::new();
    for (index, (manager, package)) in sbom.packages.iter().enumerate() {
        components.push(json!({
            "type": "library",
            "bom-ref": format!("package-{index}"),
            "name": package.name,
            "version": package.version,
            "purl": purl(*manager, package, &sbom.system, sbom.system_version.as_deref()),
        }));
    }
    for (index, file) in sbom.files.iter().enumerate() {
        components.push(json!({
            "type": "file",
            "bom-ref": format!("file-{index}"),
            "name": file.path,
            "hashes": [{"alg": "SHA-1", "content": file.sha1}, sha256(&file.sha256)],
        }));
    }
    let mut tool_component = json!({"type": "application", "name": tool.name, "version": tool.version});
    if let Some(digest) = &tool.sha256 {
        tool_component["hashes"] = Value::Array(vec![sha256(digest)]);
    }
    crate::pretty(&json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(&image.sha256)),
        "version": 1,
        "metadata": {
            "timestamp": sbom.created,
            "tools": {"components": [tool_component]},
            "component": {
                "type": "operating-system",
                "bom-ref": "image",
                "name": image.name,
                "description": sbom.system_name,
                "hashes": [sha256(&image.sha256)],
            },
        },
        "components": components,
    }))
}
