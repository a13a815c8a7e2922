//! Rebuilds when a migration is added: they are embedded, and a new file alone changes no source.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
