//! The files of the page. They are part of the program; nothing is fetched from elsewhere.

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its media type, for `Content-Type`.
    pub kind: &'static str,
    /// Its content.
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, media type and content of each.
const ASSETS: [(&str, &str, &str); 7] = [
    ("/", HTML, include_str!("../assets/status.html")),
    ("/page.css", CSS, include_str!("../assets/page.css")),
    ("/status.js", JAVASCRIPT, include_str!("../assets/status.js")),
    ("/tables.js", JAVASCRIPT, include_str!("../assets/tables.js")),
    ("/graph.js", JAVASCRIPT, include_str!("../assets/graph.js")),
    ("/format.js", JAVASCRIPT, include_str!("../assets/format.js")),
    ("/words.js", JAVASCRIPT, include_str!("../assets/words.js")),
];

/// The files of the page behind a link: name, media type and content of each.
const TEST_ASSETS: [(&str, &str, &str); 4] = [
    ("", HTML, include_str!("../assets/test.html")),
    ("page.css", CSS, include_str!("../assets/page.css")),
    ("format.js", JAVASCRIPT, include_str!("../assets/format.js")),
    ("test.js", JAVASCRIPT, include_str!("../assets/test.js")),
];

/// Returns the file of this name behind a link.
#[must_use]
pub fn test_asset(name: &str) -> Option<Asset> {
    let (_, kind, text) = TEST_ASSETS.into_iter().find(|(known, ..)| *known == name)?;
    Some(Asset { kind, text })
}

/// Returns the file at this path of an address.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    let (_, kind, text) = ASSETS.into_iter().find(|(at, ..)| *at == path)?;
    Some(Asset { kind, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and content of each file of both pages, those of both once.
    fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_test =
            TEST_ASSETS.into_iter().filter(|(name, ..)| asset(&format!("/{name}")).is_none());
        ASSETS.into_iter().chain(of_test).map(|(name, _, text)| (name, text))
    }

    #[test]
    fn the_files_are_short_and_fetch_nothing_from_elsewhere() {
        let bytes: usize = all().map(|(_, text)| text.len()).sum();
        assert!(bytes < 60 * 1024, "{bytes} bytes");
        for (path, text) in all() {
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "").contains("://");
            assert!(!elsewhere, "{path} names another address");
        }
    }

    #[test]
    fn text_never_becomes_markup() {
        for (path, text) in all() {
            for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text.contains(way), "{path} uses {way}");
            }
            // The Content-Security-Policy refuses both.
            for inline in ["style=\"", "onclick=", "<style", "javascript:"] {
                assert!(!text.contains(inline), "{path} has {inline}");
            }
        }
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        let words = asset("/words.js").unwrap().text;
        let keys = |language: &str| -> Vec<&str> {
            let (_, rest) = words.split_once(&format!("  {language}: {{\n")).unwrap();
            let (block, _) = rest.split_once("\n  },").unwrap();
            block
                .lines()
                .filter_map(|line| line.trim().split_once(": "))
                .map(|(key, _)| key)
                .collect()
        };
        assert!(keys("en").len() > 50);
        assert_eq!(keys("en"), keys("ru"));
    }

    #[test]
    fn only_the_paths_of_files_are_served() {
        assert!(asset("/").is_some() && asset("/words.js").is_some());
        assert_eq!(asset("/../Cargo.toml"), None);
        assert_eq!(asset("/status.html"), None);
        assert_eq!(asset(""), None);
    }
}
