//! Every saved input runs through its fuzz body.

#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn saved_inputs_hold() {
    for (name, body) in targets::TARGETS {
        let folder = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let mut count = 0;
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            println!("{}", path.display());
            body(&std::fs::read(&path).expect("the input can be read"));
            count += 1;
        }
        assert!(count > 0, "{folder} is empty");
    }
}
