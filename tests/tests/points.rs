//! The list of moments to kill at is the one of the sources: a point that the list lacks would never
//! be killed at, and one that the sources lack would be looked for in vain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_tests::points::POINTS;
use std::path::Path;

fn names_in(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            names_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(names(&text).map(ToOwned::to_owned));
        }
    }
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split("point!(\"").skip(1).filter_map(|rest| rest.split('"').next())
}

#[test]
fn the_list_of_points_is_the_one_of_the_sources() {
    let mut found = Vec::new();
    names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("core/src"), &mut found);
    found.sort();
    let mut listed: Vec<&str> = POINTS.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(found, listed, "each name stands once in the sources and once in the list");
    assert!(listed.len() >= 45);
    for name in listed {
        let (area, step) = name.split_once('.').unwrap();
        assert!(!area.is_empty() && !step.is_empty() && !step.contains('.'), "{name}");
    }
    // The control.
    assert_eq!(names("point!(\"a.b\"); point!(\"c.d\");").collect::<Vec<_>>(), ["a.b", "c.d"]);
}
