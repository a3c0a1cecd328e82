//! The files of the pages. They are part of the program; nothing is fetched from elsewhere.

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

const PAGE_CSS: &str = include_str!("../assets/page.css");
const TABLES_JS: &str = include_str!("../assets/tables.js");
const FORMAT_JS: &str = include_str!("../assets/format.js");
const LANGUAGE_JS: &str = include_str!("../assets/language.js");

/// The files of the status page: path, media type and content of each.
const ASSETS: [(&str, &str, &str); 8] = [
    ("/", HTML, include_str!("../assets/status.html")),
    ("/page.css", CSS, PAGE_CSS),
    ("/status.js", JAVASCRIPT, include_str!("../assets/status.js")),
    ("/tables.js", JAVASCRIPT, TABLES_JS),
    ("/graph.js", JAVASCRIPT, include_str!("../assets/graph.js")),
    ("/format.js", JAVASCRIPT, FORMAT_JS),
    ("/language.js", JAVASCRIPT, LANGUAGE_JS),
    ("/words.js", JAVASCRIPT, include_str!("../assets/words.js")),
];

/// The files of the page behind a link: name, media type and content of each.
const TEST_ASSETS: [(&str, &str, &str); 10] = [
    ("", HTML, include_str!("../assets/test.html")),
    ("page.css", CSS, PAGE_CSS),
    ("test.css", CSS, include_str!("../assets/test.css")),
    ("test.js", JAVASCRIPT, include_str!("../assets/test.js")),
    ("test-measure.js", JAVASCRIPT, include_str!("../assets/test-measure.js")),
    ("test-pair.js", JAVASCRIPT, include_str!("../assets/test-pair.js")),
    ("test-words.js", JAVASCRIPT, include_str!("../assets/test-words.js")),
    ("tables.js", JAVASCRIPT, TABLES_JS),
    ("format.js", JAVASCRIPT, FORMAT_JS),
    ("language.js", JAVASCRIPT, LANGUAGE_JS),
];

/// Returns the file at this path of the status page's address.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    found(&ASSETS, path)
}

/// Returns the file of this name behind a link.
#[must_use]
pub fn test_asset(name: &str) -> Option<Asset> {
    found(&TEST_ASSETS, name)
}

fn found(files: &[(&str, &'static str, &'static str)], wanted: &str) -> Option<Asset> {
    let (_, kind, text) = files.iter().find(|(name, ..)| *name == wanted)?;
    Some(Asset { kind, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and content of each file of both pages, those of both once.
    fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_test = TEST_ASSETS
            .into_iter()
            .filter(|(_, _, text)| ASSETS.into_iter().all(|(_, _, other)| other != *text));
        ASSETS.into_iter().chain(of_test).map(|(name, _, text)| (name, text))
    }

    #[test]
    fn the_files_are_short_and_fetch_nothing_from_elsewhere() {
        assert_eq!(all().count(), 14);
        let bytes: usize = all().map(|(_, text)| text.len()).sum();
        assert!(bytes < 64 * 1024, "{bytes} bytes");
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

    /// The texts in quotation marks of each entry `key: ['…', '…'],` of an object.
    fn entries(file: &'static str, object: &str) -> Vec<Vec<&'static str>> {
        let (_, rest) = file.split_once(&format!("const {object} = {{\n")).unwrap();
        let (block, _) = rest.split_once("\n};").unwrap();
        let lists = block.split("],").filter_map(|entry| entry.split_once(": ["));
        lists.map(|(_, list)| list.split('\'').skip(1).step_by(2).collect()).collect()
    }

    fn placeholders(text: &str) -> Vec<&str> {
        let mut names: Vec<_> =
            text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_text_is_there_in_both_languages() {
        let status = asset("/words.js").unwrap().text;
        let test = test_asset("test-words.js").unwrap().text;
        let objects = [(status, "TEXTS", 80), (test, "TEXTS", 30), (test, "VERDICTS", 19)];
        for (file, object, at_least) in objects {
            let entries = entries(file, object);
            assert!(entries.len() >= at_least, "{object}: {}", entries.len());
            for texts in entries {
                let [english, russian, ..] = texts[..] else { panic!("{texts:?}") };
                // Brackets around another text; words that another entry has.
                if english == "({ago})" || russian == "operator" {
                    continue;
                }
                let is_cyrillic = |c: char| ('а'..='я').contains(&c);
                assert!(!english.contains(is_cyrillic), "{english}");
                assert!(russian.contains(is_cyrillic), "{russian}");
                assert_eq!(placeholders(english), placeholders(russian), "{english}");
            }
        }
    }

    #[test]
    fn every_verdict_has_words() {
        let words = test_asset("test-words.js").unwrap().text;
        let (_, verdicts) = words.split_once("const VERDICTS").unwrap();
        let ids = [
            "ok",
            "udp-blocked",
            "only-443",
            "secret-changed",
            "pair-failed",
            "draining",
            "credentials",
            "quota",
            "capacity",
            "relay-blocked",
            "cert-untrusted",
            "dns",
            "local-address",
            "ipv6-only",
            "no-answer",
            "unreachable",
            "proxy-address",
            "slow",
            "lossy",
            "failed-logins",
        ];
        for id in ids {
            let is_key = [format!(" {id}: "), format!(" '{id}': ")];
            assert!(is_key.iter().any(|key| verdicts.contains(key)), "{id}");
        }
    }

    #[test]
    fn every_module_that_a_page_imports_is_served_with_it() {
        let pages: [(&[_], _); 2] = [(&ASSETS, "/"), (&TEST_ASSETS, "")];
        for (files, root) in pages {
            for (name, _, text) in files {
                for import in text.split(" from './").skip(1) {
                    let wanted = format!("{root}{}", import.split('\'').next().unwrap());
                    assert!(files.iter().any(|(at, ..)| *at == wanted), "{name} imports {wanted}");
                }
            }
        }
    }

    #[test]
    fn only_the_paths_of_files_are_served_each_with_its_page() {
        assert!(asset("/").is_some() && asset("/words.js").is_some());
        assert_eq!(asset("/../Cargo.toml"), None);
        assert_eq!(asset("/status.html"), None);
        assert_eq!(asset(""), None);
        assert_eq!(asset("/test.js"), None);
        assert!(test_asset("").is_some() && test_asset("test-words.js").is_some());
        for other in ["/", "test.html", "status.js", "words.js", "../test.js"] {
            assert_eq!(test_asset(other), None, "{other}");
        }
    }
}
