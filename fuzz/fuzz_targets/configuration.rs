//! Configuration files: whatever stands in one, the answer is settings or faults that say
//! something. The first byte chooses the language.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::load;

fuzz_target!(|raw: &[u8]| {
    let Some((language, text)) = raw.split_first() else { return };
    let name = if language % 2 == 0 { "p.toml" } else { "p.yaml" };
    // The files that secrets are read from are not what is tested.
    if text.windows(5).any(|part| part == b"_file") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    if let Err(faults) = load(&[file], Vec::new()) {
        assert!(!faults.0.is_empty());
        assert!(faults.0.iter().all(|fault| !fault.text.is_empty()), "{faults}");
    }
});
