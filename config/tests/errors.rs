//! What is reported for files that are wrong: each `tests/bad/NAME.yaml` yields `NAME.txt`.
//! `UPDATE_ERRORS=1 cargo test -p ringway-config` writes the texts anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use ringway_config::{Config, Errors, SHOWN, load};

fn refused(bytes: impl AsRef<[u8]>) -> Errors {
    load(bytes, Path::new("ringway.yaml"), &|_| None).unwrap_err()
}

#[test]
fn every_bad_file_is_reported_as_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut seen = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let reported = refused(fs::read(&path).unwrap()).to_string() + "\n";
        let recorded = path.with_extension("txt");
        if std::env::var_os("UPDATE_ERRORS").is_some() {
            fs::write(&recorded, &reported).unwrap();
        }
        let expected = fs::read_to_string(&recorded).unwrap_or_default();
        assert_eq!(reported, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} files");
}

#[test]
fn a_file_over_one_mebibyte_is_refused_unread() {
    let errors = refused(vec![b'#'; (1 << 20) + 1]);
    assert_eq!(errors.problems.len(), 1);
    assert_eq!(errors.problems[0].found, "1048577 bytes");
}

#[test]
fn an_alias_bomb_is_refused_at_its_first_anchor() {
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n";
    let errors = refused(bomb);
    assert_eq!((errors.problems.len(), errors.problems[0].line), (1, 1));
}

#[test]
fn nesting_without_end_is_refused() {
    for unit in ["[", "{a: ", "- ", "? ", "[{"] {
        let errors = refused(unit.repeat(100_000 / unit.len()));
        assert!(errors.problems.len() <= 2, "{unit}: {errors}");
    }
}

#[test]
fn a_file_of_garbage_gets_a_readable_answer() {
    let garbage: String = (0..5_000).map(|n| format!("key{n}: value\n")).collect();
    let errors = refused(garbage);
    assert_eq!(errors.problems.len(), SHOWN);
    assert_eq!(errors.omitted, 5_001 - SHOWN);
    assert!(errors.to_string().ends_with("and 4901 more"), "{errors}");
}

/// Looking for a near name for every wrong one among all the others would take minutes.
#[test]
fn many_wrong_names_among_many_names_are_refused_soon() {
    let services: String = (0..3_000).map(|n| format!("  right-{n}: [a:1]\n")).collect();
    let listener = |n| format!("- {{name: a{n}, address: 127.0.0.1:0, service: rihgt{n}}}\n");
    let listeners: String = (0..3_000).map(listener).collect();
    let errors = refused(format!("services:\n{services}listeners:\n{listeners}"));
    assert_eq!(errors.omitted, 3_000 - SHOWN);
    assert!(errors.problems[0].hint.starts_with("did you mean `right-"), "{errors}");
}

#[test]
fn marks_line_ends_and_tabs_after_words_are_fine() {
    let plain =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/five-lines.yaml"))
            .unwrap();
    let load = |text: &str| load(text, Path::new("ringway.yaml"), &|_| None);
    let expected = load(&plain).unwrap();
    assert_eq!(load(&format!("\u{feff}{plain}")), Ok(expected.clone()));
    assert_eq!(load(&plain.replace('\n', "\r\n")), Ok(expected.clone()));
    assert_eq!(load(&plain.replace('\n', "\t\n")), Ok(expected));
    let errors = refused(format!("\u{feff}{}", plain.replace("4140", "x").replace('\n', "\r\n")));
    assert_eq!((errors.problems[0].line, errors.problems[0].column), (3, 26), "{errors}");
}

#[test]
fn wrong_variables_are_reported_with_the_file() {
    let env = |name: &str| match name {
        "RINGWAY_DRIVER" => Some(String::from("io_uring")),
        "RINGWAY_LOG" => Some(String::from("inof")),
        _ => None,
    };
    let errors = load("listeners: []", Path::new("a.yaml"), &env).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "a.yaml: RINGWAY_DRIVER: found `io_uring`, expected `auto`, `uring` or `epoll`; hint: did \
         you mean `uring`?\n\
         a.yaml: RINGWAY_LOG: found `inof`, expected `error`, `warn`, `info`, `debug`, `trace` or \
         `off`; hint: did you mean `info`?\n\
         a.yaml:1:12: listeners: found an empty list, expected a list (`- item` lines) with at \
         least one item"
    );
    assert!(Config::default().with_environment(&env).is_err());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let path = Path::new("no-such-directory/ringway.yaml");
    let errors = ringway_config::read(path, &|_| None).unwrap_err().to_string();
    assert!(errors.starts_with("no-such-directory/ringway.yaml: found "), "{errors}");
}
