//! What the documents say can be followed: links lead somewhere, examples are configurations, commands
//! are commands, what they show is what the programs say, and both languages have the same sections.
//! `stages/documents/run` runs the commands.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use taciturn_config::Config;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every Markdown file of the project, by its path from the root.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut rest = vec![PathBuf::from(ROOT)];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_str().unwrap();
            // Build output, and what the tests fetch, is not ours.
            let foreign = ["target", "node_modules"].contains(&name) || name.starts_with('.');
            if entry.file_type().unwrap().is_dir() {
                if !foreign {
                    rest.push(path);
                }
            } else if Path::new(name).extension().is_some_and(|end| end == "md") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(ROOT).unwrap().to_owned(), text);
            }
        }
    }
    found
}

/// A document in its parts.
#[derive(Default)]
struct Document {
    /// Of blocks: the comment right before it, `<!-- ... -->`.
    marks: Vec<(usize, String)>,
    /// Level and text.
    headings: Vec<(usize, String)>,
    /// Line number and target.
    links: Vec<(usize, String)>,
    /// Line number, language and text.
    blocks: Vec<(usize, String, String)>,
}

fn read(text: &str) -> Document {
    let mut document = Document::default();
    let mut fence: Option<(usize, String, String)> = None;
    let mut before = "";
    for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            match fence.take() {
                None => {
                    let mark = before.strip_prefix("<!-- ").and_then(|b| b.strip_suffix(" -->"));
                    document.marks.extend(mark.map(|mark| (number, mark.to_owned())));
                    fence = Some((number, language.trim().to_owned(), String::new()));
                }
                Some(block) => document.blocks.push(block),
            }
        } else if let Some((_, _, block)) = &mut fence {
            block.push_str(line);
            block.push('\n');
        } else {
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            if let Some(title) = line.get(level..).and_then(|rest| rest.strip_prefix(' '))
                && (1..=6).contains(&level)
            {
                document.headings.push((level, title.trim().to_owned()));
            }
            document.links.extend(links(line).map(|target| (number, target.to_owned())));
        }
        before = line;
    }
    assert!(fence.is_none(), "a ``` is never closed");
    document
}

/// The targets of `[text](target)` in a line, without those in `code`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    // What lies between an odd and an even backtick is code; a link's text may hold some.
    let in_code = |at: usize| line[..at].matches('`').count() % 2 == 1;
    line.match_indices("](")
        .filter(move |(at, _)| !in_code(*at))
        .filter_map(|(at, _)| line[at + 2..].split_once(')').map(|(target, _)| target))
}

/// The anchor that GitHub gives a heading: lower case, hyphens for blanks, no punctuation.
fn anchors(document: &Document) -> Vec<String> {
    let mut seen = HashMap::new();
    let anchor = |title: &str| -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let kept: String = title.to_lowercase().chars().filter(kept).collect();
        kept.replace(' ', "-")
    };
    let numbered = |(_, title): &(usize, String)| {
        let anchor = anchor(title);
        let count = seen.entry(anchor.clone()).and_modify(|count| *count += 1).or_insert(0);
        if *count == 0 { anchor } else { format!("{anchor}-{count}") }
    };
    document.headings.iter().map(numbered).collect()
}

/// `path` without its `.` and `..`; `None` where it leaves the project.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir if clean.pop() => {}
            _ => return None,
        }
    }
    Some(clean)
}

fn broken_link(from: &Path, target: &str, anchors: &HashMap<PathBuf, Vec<String>>) -> bool {
    if ["https:", "http:", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return false;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
    let to = match path {
        "" => Some(from.to_owned()),
        _ => inside(&from.parent().unwrap().join(path)),
    };
    let Some(to) = to.filter(|to| Path::new(ROOT).join(to).exists()) else { return true };
    anchor.is_some_and(|anchor| {
        !anchors.get(&to).is_some_and(|known| known.iter().any(|known| known == anchor))
    })
}

#[test]
fn every_link_leads_somewhere() {
    let documents: HashMap<_, _> =
        documents().into_iter().map(|(path, text)| (path, read(&text))).collect();
    let anchors =
        documents.iter().map(|(path, document)| (path.clone(), anchors(document))).collect();
    let mut broken = Vec::new();
    for (path, document) in &documents {
        for (line, target) in &document.links {
            if broken_link(path, target, &anchors) {
                broken.push(format!("{}:{line}: {target}", path.display()));
            }
        }
    }
    broken.sort();
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn both_readmes_have_the_same_sections_and_the_same_output() {
    let documents = documents();
    let [english, russian] =
        ["README.md", "README.ru.md"].map(|name| read(&documents[Path::new(name)]));
    let levels = |document: &Document| -> Vec<_> {
        document.headings.iter().map(|(level, _)| *level).collect()
    };
    let titles = |document: &Document| -> Vec<_> {
        document.headings.iter().map(|(_, title)| title.clone()).collect()
    };
    assert_eq!(
        levels(&english),
        levels(&russian),
        "\n{:#?}\n{:#?}",
        titles(&english),
        titles(&russian)
    );
    // Commands, settings and output are no prose: they are the same but for comments.
    let blocks = |document: &Document| -> Vec<_> {
        let bare = |text: &str| -> Vec<String> {
            let own_comment = |line: &&str| line.starts_with("# ") && !text.contains("taciturn 0");
            text.lines().filter(|line| !own_comment(line)).map(str::to_owned).collect()
        };
        document.blocks.iter().map(|(_, language, text)| (language.clone(), bare(text))).collect()
    };
    assert_eq!(blocks(&english), blocks(&russian));
}

/// What is wrong with an example, but for credentials: those of examples are refused on purpose.
fn faults(example: &str, state_dir: &Path) -> Vec<String> {
    // A configuration without credentials makes a secret, and that does not belong on this machine.
    let text = format!("state_dir = {:?}\n{example}", state_dir.to_str().unwrap());
    let Err(errors) = Config::from_toml(&text) else { return Vec::new() };
    let to_be_replaced = |key: &str| {
        let of_tenant = key.strip_prefix("tenant[").and_then(|rest| rest.split_once("]."));
        let key = of_tenant.map_or(key, |(_, key)| key);
        let key = key.split_once('[').map_or(key, |(key, _)| key);
        ["users", "secrets", "secret_files", "ice.token_files"]
            .contains(&key.trim_start_matches("auth."))
    };
    let problems = errors.problems().iter();
    problems
        .filter(|problem| {
            !to_be_replaced(&problem.key) || problem.message == "there is no such key"
        })
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect()
}

#[test]
fn every_example_of_a_configuration_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut examples = 0;
    for (path, text) in documents() {
        for (line, language, text) in read(&text).blocks {
            if language == "toml" {
                examples += 1;
                let faults = faults(&text, dir.path());
                assert!(faults.is_empty(), "{}:{line}: {faults:#?}", path.display());
            }
        }
    }
    assert!(examples > 0, "no document has an example any more");
}

fn document(name: &str) -> Document {
    read(&documents()[Path::new(name)])
}

/// How stages/documents/run treats the commands that follow a mark.
fn known_mark(mark: &str) -> bool {
    let with_reason = ["not run: ", "may fail: "];
    mark == "runs on"
        || with_reason.iter().any(|with| mark.strip_prefix(with).is_some_and(|why| !why.is_empty()))
}

#[test]
fn every_command_is_one_for_a_shell_and_its_mark_is_known() {
    let mut commands = 0;
    for (path, text) in documents() {
        let document = read(&text);
        for (line, language, block) in &document.blocks {
            if language != "sh" {
                continue;
            }
            commands += 1;
            let mut bash = Command::new("bash");
            let mut bash = bash.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            bash.stdin.take().unwrap().write_all(block.as_bytes()).unwrap();
            assert!(bash.wait().unwrap().success(), "{}:{line}", path.display());
            let mark = document.marks.iter().find(|(number, _)| number == line);
            let unknown = mark.filter(|(_, mark)| !known_mark(mark));
            assert!(unknown.is_none(), "{}: {unknown:?}", path.display());
        }
    }
    assert!(commands > 0, "no document has a command any more");
}

#[test]
fn the_recipes_are_what_turnctl_prints() {
    let blocks: Vec<_> = document("docs/recipes.md").blocks.into_iter().map(|(.., b)| b).collect();
    for target in [
        "synapse",
        "dendrite",
        "conduit",
        "continuwuity",
        "tuwunel",
        "livekit",
        "nextcloud",
        "jitsi",
        "prosody",
        "ejabberd",
        "snikket",
        "galene",
        "mattermost",
        "ice",
    ] {
        let golden = Path::new(ROOT).join(format!("tests/golden/snippets/{target}.txt"));
        let golden = fs::read_to_string(golden).unwrap();
        // The secret of that test is one that each language has to quote in its own way.
        let secrets = [
            r#"a \"quoted\" secret's $value"#,
            r#"a "quoted" secret\'s $value"#,
            r#"a "quoted" secret'\''s $value"#,
        ];
        let plain = secrets.iter().fold(golden, |text, secret| text.replace(secret, "SECRET"));
        // It has a listener behind a proxy as well, which these readers need not have.
        let lines = plain.lines().filter(|line| !line.starts_with("# Note:"));
        let expected: String = lines.map(|line| format!("{line}\n")).collect();
        assert!(blocks.contains(&expected), "docs/recipes.md should have:\n{expected}");
    }
}

#[test]
fn the_findings_in_the_documents_are_those_of_turnctl() {
    let mut sources = String::new();
    let mut rest = vec![Path::new(ROOT).join("crates/turnctl/src")];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rest.push(path);
            } else {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut seen = 0;
    for (path, text) in documents().into_iter().filter(|(path, _)| !path.starts_with("tests")) {
        for (line, text) in text.lines().enumerate() {
            // At the end of a line of output, or `[so]` in prose.
            let in_prose = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with('['));
            let output = text.starts_with("  ").then(|| text.rsplit(' ').next().unwrap());
            for name in in_prose.chain(output) {
                let Some(name) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'))
                else {
                    continue;
                };
                // Sections of the configuration have no hyphen.
                if name.contains('-') && name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()) {
                    seen += 1;
                    let known = sources.contains(&format!("\"{name}\""));
                    assert!(known, "{}:{}: no finding is called {name}", path.display(), line + 1);
                }
            }
        }
    }
    assert!(seen > 20, "the documents name findings: {seen}");
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let readme = document("README.md");
    let targets: Vec<_> =
        readme.links.iter().map(|(_, to)| to.split('#').next().unwrap().to_owned()).collect();
    let pages = documents().into_keys().filter(|path| path.starts_with("docs"));
    let lost: Vec<_> =
        pages.filter(|path| !targets.iter().any(|to| Path::new(to) == path)).collect();
    assert!(lost.is_empty(), "README.md has no link to {lost:?}");
}

/// Every file of the project, by its path from the root.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = vec![PathBuf::from(ROOT)];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if !entry.file_type().unwrap().is_dir() {
                found.push(entry.path().strip_prefix(ROOT).unwrap().to_owned());
            } else if name != "target" && !name.to_str().unwrap().starts_with('.') {
                rest.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn every_section_of_where_to_put_it_names_few_files_and_all_of_them_exist() {
    let text = &documents()[Path::new("docs/where-to-put-it.md")];
    let files = files();
    let mut sections = 0;
    for section in text.split("\n## ").skip(1) {
        sections += 1;
        let (title, section) = section.split_once('\n').unwrap();
        // What takes more says why; the number may only fall.
        let most = match title {
            "A transport" => 6,
            _ => 4,
        };
        let linked: BTreeSet<_> = section
            .lines()
            .flat_map(links)
            .filter_map(|target| inside(&Path::new("docs").join(target)))
            .collect();
        for file in &linked {
            assert!(Path::new(ROOT).join(file).is_file(), "{title}: no {}", file.display());
        }
        assert!((1..=most).contains(&linked.len()), "{title}: {linked:?}");
        // Others are named without their directory.
        let code = section.split('`').skip(1).step_by(2);
        for name in code.filter(|code| code.ends_with(".rs") && !code.contains(' ')) {
            assert!(files.iter().any(|file| file.ends_with(name)), "{title}: no {name}");
        }
    }
    assert_eq!(sections, 7);
}

#[test]
fn the_figures_in_the_readmes_are_those_that_were_measured() {
    let documents = documents();
    let measured = &documents[Path::new("docs/performance.md")];
    for (readme, heading) in
        [("README.md", "\n## Performance\n"), ("README.ru.md", "\n## Производительность\n")]
    {
        let (_, section) = documents[Path::new(readme)].split_once(heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let cells = section.lines().filter(|line| line.starts_with('|')).skip(2).flat_map(|line| {
            // The first is what was measured.
            line.split('|').skip(2).map(str::trim).filter(|cell| !cell.is_empty())
        });
        let mut figures = 0;
        for figure in cells {
            figures += 1;
            let there = measured.contains(&format!("| {figure} |"));
            assert!(there, "{readme}: {figure} is not in docs/performance.md");
        }
        assert!(figures > 0, "{readme} has no figures");
    }
}

#[test]
fn faults_of_examples_links_and_anchors_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!faults("relam = \"turn.domain.org\"\n", dir.path()).is_empty());
    assert!(!faults("[auth]\nsecrets_file = [\"/run/x\"]\n", dir.path()).is_empty());
    assert!(faults("[auth]\nsecrets = [\"<openssl rand -hex 24>\"]\n", dir.path()).is_empty());

    let document =
        read("# One `a` (b)\n## Одно и два\n## One a b\n[x](y.md) `[a](b)` [`c`](d#e)\n");
    assert_eq!(anchors(&document), ["one-a-b", "одно-и-два", "one-a-b-1"]);
    let targets: Vec<_> = document.links.iter().map(|(_, target)| target.as_str()).collect();
    assert_eq!(targets, ["y.md", "d#e"]);

    let anchors = HashMap::from([(PathBuf::from("README.md"), vec!["tests".to_owned()])]);
    let broken = |target| broken_link(Path::new("docs/x.md"), target, &anchors);
    assert!(!broken("../README.md#tests") && !broken("../src") && !broken("https://example.org"));
    assert!(broken("../README.md#test") && broken("nowhere.md") && broken("../../README.md"));
}
