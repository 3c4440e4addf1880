//! The layer graph: dependencies go strictly downwards, and heavy ones stay behind their fences.

use crate::Findings;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The layer of each crate, lowest first. A crate may depend on crates of lower layers; layers 1 and 3 never look
/// sideways.
const LAYERS: &[(&str, u32)] = &[
    ("kith-types", 0),
    ("kith-expr", 5),
    ("kith-telemetry", 0),
    ("kith-clean", 10),
    ("kith-identity", 10),
    ("kith-profile", 10),
    ("kith-segment", 10),
    ("kith-sqlite", 15),
    ("kith-s3", 20),
    ("kith-log", 20),
    ("kith-state", 20),
    ("kith-catalog", 20),
    ("kith-lake", 30),
    ("kith-query", 40),
    ("kith-collect", 50),
    ("kith-pipeline", 50),
    ("kith-activate", 50),
    ("kith-publish", 55),
    ("kith-api", 60),
    ("kith", 70),
    ("kith-testkit", 80),
    ("kith-oracle", 80),
    ("kith-peers", 80),
    ("xtask", 80),
];

/// Heavy packages, and who alone may name them.
const FENCES: &[(&str, &[&str])] = &[
    ("datafusion", &["kith-query", "kith"]),
    ("arrow-array", &["kith-lake", "kith-query", "kith"]),
    ("arrow-schema", &["kith-lake", "kith-query", "kith"]),
    ("parquet", &["kith-lake", "kith-query", "kith"]),
    ("iceberg", &["kith-lake"]),
    ("fjall", &["kith-state"]),
    ("axum", &["kith-collect", "kith-api", "kith"]),
    ("lettre", &["kith-activate"]),
    ("quick-xml", &["kith-s3"]),
    ("ring", &["kith-s3"]),
];

/// Layers 0 and 1 are pure: nothing that does IO or runs tasks.
const PURE: &[&str] = &[
    "kith-types",
    "kith-expr",
    "kith-clean",
    "kith-identity",
    "kith-profile",
    "kith-segment",
];
const IMPURE_PACKAGES: &[&str] = &[
    "tokio",
    "axum",
    "rusqlite",
    "fjall",
    "object_store",
    "reqwest",
    "datafusion",
    "arrow-array",
];

/// Checks every manifest of the workspace.
pub(crate) fn check(root: &Path) -> Findings {
    let output = std::process::Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output();
    let metadata: Value = match output.map(|output| serde_json::from_slice(&output.stdout)) {
        Ok(Ok(metadata)) => metadata,
        _ => return vec!["cargo metadata did not answer".to_owned()],
    };
    let layers: BTreeMap<&str, u32> = LAYERS.iter().copied().collect();
    let mut findings = Findings::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(own) = layers.get(name) else {
            findings.push(format!(
                "{name} has no layer: give it one in xtask/src/layers.rs and in ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"].as_str() == Some("dev");
            findings.extend(judge(name, *own, used, for_tests, &layers));
        }
    }
    findings
}

fn judge(name: &str, own: u32, used: &str, for_tests: bool, layers: &BTreeMap<&str, u32>) -> Option<String> {
    if for_tests {
        return None;
    }
    if let Some(theirs) = layers.get(used) {
        // The binary runs the demo, whose world is the testkit's.
        let demo = name == "kith" && used == "kith-testkit";
        return (*theirs >= own && !demo).then(|| format!("{name} (layer {own}) depends on {used} (layer {theirs})"));
    }
    if let Some((_, allowed)) = FENCES.iter().find(|(heavy, _)| *heavy == used)
        && !allowed.contains(&name)
    {
        return Some(format!(
            "{name} depends on {used}, which only {} may",
            allowed.join(" and ")
        ));
    }
    (PURE.contains(&name) && IMPURE_PACKAGES.contains(&used)).then(|| format!("{name} is pure and depends on {used}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_upwards_sideways_and_over_fences_are_found() {
        let layers: BTreeMap<&str, u32> = LAYERS.iter().copied().collect();
        assert!(judge("kith-profile", 10, "kith-types", false, &layers).is_none());
        assert!(judge("kith-profile", 10, "kith-segment", false, &layers).is_some());
        assert!(judge("kith-types", 0, "kith-log", false, &layers).is_some());
        assert!(judge("kith-api", 60, "datafusion", false, &layers).is_some());
        assert!(judge("kith-identity", 10, "tokio", false, &layers).is_some());
        assert!(judge("kith-identity", 10, "kith-testkit", true, &layers).is_none());
    }
}
