//! No dead fixtures.

use std::path::Path;

#[test]
fn every_test_guest_is_used_by_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e");
    let mut tests = String::new();
    for entry in std::fs::read_dir(folder).expect("the tests are there") {
        let file = entry.expect("they can be listed").path();
        tests += &std::fs::read_to_string(file).expect("they can be read");
    }
    for name in wharf_tests::build::test_guests().keys() {
        let used = tests.contains(&format!("test_guest(\"{name}\")"))
            || tests.contains(&format!("[\"{name}\""));
        let is_artifact = name == "hello" || used;
        assert!(is_artifact, "no test uses the guest {name}");
    }
}
