//! `ringway check --kubernetes` before a real API server: what it says is missing is missing, and
//! the role that it prints is enough and no more than that.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use ringway_tests::kube::cluster::Options;
use ringway_tests::kube::kubeconfig::Credential;
use ringway_tests::kube::stage::{PATIENCE, Stage};
use ringway_tests::proxy;
use ringway_tests::scratch::Scratch;
use ringway_tests::wait;

const KINDS: [&str; 8] = [
    "services",
    "endpointslices",
    "httproutes",
    "grpcroutes",
    "tlsroutes",
    "tcproutes",
    "backendtlspolicies",
    "xbackendtrafficpolicies",
];

const LISTENERS: &str = "listeners: [{name: web, address: '127.0.0.1:1', kind: outbound}]\n";

/// What it prints, and whether all was well.
fn check(config: &Path) -> (String, bool) {
    let mut command = Command::new(proxy::binary());
    let out = command.args(["check", "--kubernetes", "--config"]).arg(config).output().unwrap();
    (String::from_utf8_lossy(&out.stdout).into_owned(), out.status.success())
}

/// The lines of one part, without what stands before them.
fn part(report: &str, name: &str) -> String {
    let begun = report.lines().skip_while(|line| !line.starts_with(name));
    let lines = begun.enumerate().take_while(|(n, line)| *n == 0 || line.starts_with(' '));
    lines.map(|(_, line)| line.get(15..).unwrap_or_default().to_owned() + "\n").collect()
}

/// The rights that it misses.
fn missing(report: &str, namespace: &str) -> Vec<String> {
    let rights = part(report, "rights");
    let place = format!(" in {namespace}");
    rights.lines().filter_map(|line| line.strip_suffix(&place)).map(str::to_owned).collect()
}

/// Configurations for an account of the stage's namespace, which may do nothing yet.
fn configured(stage: &Stage, files: &Scratch) -> PathBuf {
    stage.kubectl(&["create", "serviceaccount", "reader"]);
    let kubectl = &stage.cluster.kubectl;
    let token = kubectl.run(&["-n", &stage.namespace, "create", "token", "reader"]);
    let kubeconfig = stage.cluster.kubeconfig(stage.side, &Credential::Token(token));
    let text = format!(
        "{LISTENERS}discovery: {{kubernetes: {{kubeconfig: '{}', scope: {{namespaces: [{}]}}}}}}\n",
        kubeconfig.display(),
        stage.namespace
    );
    files.put("ringway.yaml", &text)
}

#[test]
fn what_is_missing_is_named_and_the_printed_role_is_enough() {
    let stage = Stage::new(Options::default(), "checked");
    let files = Scratch::new();
    let config = configured(&stage, &files);
    let (report, well) = check(&config);
    let needed = KINDS.map(|kind| ["list", "watch"].map(|verb| format!("{verb} {kind}"))).concat();
    assert!(!well && missing(&report, "checked") == needed, "{report}");

    stage.cluster.kubectl.apply(&part(&report, "role"));
    let (role, account) = ("--role=ringway-discovery", "--serviceaccount=checked:reader");
    stage.kubectl(&["create", "rolebinding", "reader", role, account]);
    wait::until(PATIENCE, "the printed role is enough", || check(&config).1);
    assert!(check(&config).0.contains("all that are needed"));

    // Each kind has a rule of its own or shares one; the second is that of the slices.
    let verbs = r#"[{"op":"replace","path":"/rules/1/verbs","value":["list"]}]"#;
    stage.kubectl(&["patch", "role/ringway-discovery", "--type=json", "-p", verbs]);
    wait::until(PATIENCE, "the one right that is missing is named, alone", || {
        missing(&check(&config).0, "checked") == ["watch endpointslices"]
    });

    let crd = "crd/grpcroutes.gateway.networking.k8s.io";
    stage.cluster.kubectl.run(&["delete", crd]);
    wait::until(PATIENCE, "a kind that is not installed is named", || {
        check(&config).0.contains("GRPCRoute: not installed")
    });
    let (report, _) = check(&config);
    assert!(report.contains("HTTPRoute: watched, as v1"), "{report}");
    assert_eq!(missing(&report, "checked"), ["watch endpointslices"], "{report}");

    let gone = stage.cluster.kubeconfig(([127, 0, 0, 1], 1).into(), &Credential::Token("x".into()));
    let text =
        format!("{LISTENERS}discovery: {{kubernetes: {{kubeconfig: '{}'}}}}\n", gone.display());
    let (report, well) = check(&files.put("gone.yaml", &text));
    assert!(!well && part(&report, "kubernetes").contains("unreachable"), "{report}");
}
