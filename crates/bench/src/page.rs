//! The section of figures in `docs/performance.md`.

use std::{fmt::Write as _, fs, path::Path};

use crate::figure::Part;

const BEGIN: &str = "<!-- figures: written by jeton-bench -->";
const END: &str = "<!-- end of figures -->";

/// Replaces what stands between the marks.
pub fn write(path: &Path, parts: &[Part]) {
    let page = fs::read_to_string(path).expect("the page is there");
    let page = replaced(&page, &section(parts));
    fs::write(path, page).expect("the page can be written");
    println!("\nwrote {}", path.display());
}

fn section(parts: &[Part]) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text =
        format!("Measured on {cores} cores. The middle of the rounds, and in brackets the lowest and the highest.\n");
    for part in parts {
        let _ = write!(text, "\n{}", part.markdown());
    }
    text
}

fn replaced(page: &str, section: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the mark where the figures begin");
    let (_, after) = rest.split_once(END).expect("the mark where they end");
    format!("{before}{BEGIN}\n{section}\n{END}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replaced(&page, "new"), format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&replaced(&page, "one"), "new"), replaced(&page, "new"), "as often as one likes");
    }
}
