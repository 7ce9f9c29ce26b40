//! Texts that are kept for review: a test compares, and `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

/// Compares a text with the file that is kept of it.
#[expect(clippy::disallowed_methods, reason = "whether a test writes its golden files is no setting of the product")]
pub fn assert_text(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("the folder can be made");
        }
        std::fs::write(path, text).expect("the file can be written");
        return;
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if kept == text {
        return;
    }
    let differing = kept.lines().zip(text.lines()).enumerate().find(|(_, (kept, now))| kept != now);
    match differing {
        Some((at, (kept, now))) => panic!(
            "{} is not what the code makes now, from line {}:\n  kept {kept}\n  now  {now}\nUPDATE_GOLDEN=1 writes it anew",
            path.display(),
            at + 1
        ),
        None => panic!(
            "{} has {} lines, the code makes {}; UPDATE_GOLDEN=1 writes it anew",
            path.display(),
            kept.lines().count(),
            text.lines().count()
        ),
    }
}
