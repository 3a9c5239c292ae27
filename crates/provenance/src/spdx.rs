//! SPDX 2.3.

use serde_json::{Value, json};

use crate::purl::purl;
use crate::sbom::{Sbom, uuid};

const UNKNOWN: &str = "NOASSERTION";

/// The SBOM as JSON of SPDX 2.3.
pub fn spdx(sbom: &Sbom) -> Vec<u8> {
    let Sbom { image, tool, .. } = sbom;
    let mut packages = vec![json!({
        "SPDXID": "SPDXRef-Image",
        "name": image.name,
        "packageFileName": image.name,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "summary": sbom.system_name,
        "checksums": [{"algorithm": "SHA256", "checksumValue": image.sha256}],
    })];
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")];
    for (index, (manager, package)) in sbom.packages.iter().enumerate() {
        let id = format!("SPDXRef-Package-{index}");
        packages.push(json!({
            "SPDXID": id,
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": UNKNOWN,
            "filesAnalyzed": false,
            "licenseConcluded": UNKNOWN,
            "licenseDeclared": UNKNOWN,
            "copyrightText": UNKNOWN,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl(*manager, package, &sbom.system, sbom.system_version.as_deref()),
            }],
        }));
        relationships.push(relationship("SPDXRef-Image", "CONTAINS", &id));
    }
    let mut files = Vec::new();
    for (index, file) in sbom.files.iter().enumerate() {
        let id = format!("SPDXRef-File-{index}");
        files.push(json!({
            "SPDXID": id,
            // Names are relative to what is described.
            "fileName": format!(".{}", file.path),
            "checksums": [
                {"algorithm": "SHA1", "checksumValue": file.sha1},
                {"algorithm": "SHA256", "checksumValue": file.sha256},
            ],
            "licenseConcluded": UNKNOWN,
            "licenseInfoInFiles": [UNKNOWN],
            "copyrightText": UNKNOWN,
        }));
        // A package whose files were not all analysed contains none, by the format's rules.
        relationships.push(relationship("SPDXRef-DOCUMENT", "DESCRIBES", &id));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image.name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/imgraft-{}", uuid(&image.sha256)),
        "creationInfo": {
            "created": sbom.created,
            "creators": [format!("Tool: {}-{}", tool.name, tool.version)],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !files.is_empty() {
        document["files"] = Value::Array(files);
    }
    crate::pretty(&document)
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}
