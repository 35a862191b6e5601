//! Comparing and updating, on figures made up for it.

use super::*;

fn counts(rows: &[(&str, f64)]) -> Vec<Count> {
    let count = |&(case, instructions): &(&str, f64)| Count { case: case.to_owned(), instructions };
    rows.iter().map(count).collect()
}

fn baseline() -> Baseline {
    let text = "# Counted with x 1.\n\na/one 100.0  First.\nb/two 50.5  For a reason.\n";
    Baseline::parse(text).unwrap_or_default()
}

fn verdicts(rows: &[Row]) -> Vec<(&str, Verdict)> {
    rows.iter().map(|row| (row.case.as_str(), row.verdict())).collect()
}

#[test]
fn three_per_cent_either_way_are_nothing_and_more_is_something() {
    for (now, verdict) in [
        (103.0, Verdict::Same),
        (97.0, Verdict::Same),
        (103.1, Verdict::More),
        (96.9, Verdict::Fewer),
    ] {
        let rows = baseline().compare(&counts(&[("a/one", now), ("b/two", 50.5)]), true);
        assert_eq!(verdicts(&rows), [("a/one", verdict), ("b/two", Verdict::Same)], "{now}");
    }
}

#[test]
fn cases_come_and_go_but_a_part_makes_none_go() {
    let counted = counts(&[("c/three", 1.0), ("a/one", 100.0)]);
    let (all, part) = (baseline().compare(&counted, true), baseline().compare(&counted, false));
    let new = [("a/one", Verdict::Same), ("b/two", Verdict::Gone), ("c/three", Verdict::New)];
    assert_eq!(verdicts(&all), new);
    assert_eq!(verdicts(&part), [new[0], new[2]]);
}

#[test]
fn an_update_touches_what_moved_and_says_why() {
    let counted = counts(&[("a/one", 102.0), ("b/two", 60.0)]);
    let updated = baseline().updated(&counted, "x 1", "Now\n checked.", true);
    let text = updated.map(|b| b.text()).unwrap_or_default();
    let rows: Vec<&str> = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).collect();
    assert_eq!(rows, ["a/one        100.0  First.", "b/two         60.0  Now checked."]);
    assert_eq!(Baseline::parse(&text).map(|b| b.text()), Ok(text));
}

#[test]
fn other_conditions_replace_every_figure_or_none() {
    let counted = counts(&[("a/one", 101.0), ("b/two", 50.5)]);
    let updated = baseline().updated(&counted, "x 2", "New compiler.", true);
    assert!(updated.is_ok_and(|b| b.figures.values().all(|f| f.reason == "New compiler.")));
    assert!(baseline().updated(&counted, "x 2", "New compiler.", false).is_err());
    assert!(baseline().updated(&counted, "x 1", " ", true).is_err(), "a reason is asked for");
}

#[test]
fn a_broken_line_is_named() {
    for (text, place) in [("a/one\n", "line 1"), ("a 1 b\na 2 b\n", "line 2"), ("a -1 b", "line 1")]
    {
        assert!(Baseline::parse(text).is_err_and(|e| e.starts_with(place)), "{text}");
    }
}
