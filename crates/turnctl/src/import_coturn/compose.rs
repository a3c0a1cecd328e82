//! The options that a Compose file gives coturn: its command, its environment, and the file that is mounted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use taciturn_config::coturn::OPTIONS;
use yaml_rust2::{Yaml, YamlLoader};
use zeroize::Zeroizing;

use super::interpolate::{from_compose, from_shell};

/// Where coturn's images look for the file.
const IN_CONTAINER: [&str; 4] = [
    "/etc/coturn/turnserver.conf",
    "/etc/turnserver.conf",
    "/usr/local/etc/turnserver.conf",
    "/turnserver.conf",
];

/// Images of coturn's own: no variable of the environment but DETECT_* does anything in them by itself.
const OWN_IMAGES: [&str; 2] = ["coturn/coturn", "instrumentisto/coturn"];

/// Why the options of a Compose file are not known.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The file.
    #[error("cannot read {}: {why}", file.display())]
    Unreadable {
        /// As it was named, or beside it.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// No service, or several.
    #[error("{found}; name the one of coturn: --service NAME. There are: {names}")]
    Service {
        /// What was looked for, and found.
        found: String,
        /// The names of the services.
        names: String,
    },
    /// The configuration lies in the container.
    #[error(
        "coturn reads {0} in its container, and no volume of the service has it: give a copy of it as \
         TURNSERVER.CONF (docker compose cp SERVICE:{0} .)"
    )]
    InContainer(String),
}

/// What a service runs coturn with.
#[derive(Default)]
pub(super) struct Service {
    /// The words behind the program's name.
    pub(super) words: Vec<Zeroizing<String>>,
    /// Its directories and files in the container, and on the host.
    volumes: Vec<(String, PathBuf)>,
    has_configs: bool,
    /// What is to be said.
    pub(super) notes: Vec<String>,
}

impl Service {
    /// Reads a Compose file.
    pub(super) fn read(file: &Path, name: Option<&str>) -> Result<Self, ComposeError> {
        let unreadable = |why: String| ComposeError::Unreadable { file: file.into(), why };
        let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
        let text = Zeroizing::new(text);
        // Not the parser's words: they may show a part of the file.
        let documents = YamlLoader::load_from_str(&text).map_err(|error| {
            unreadable(format!("it is not YAML (line {})", error.marker().line()))
        })?;
        let root = documents.first().unwrap_or(&Yaml::BadValue);
        let (name, service) = choose(root, name)?;
        let directory = file.parent().unwrap_or_else(|| Path::new(""));
        let dotenv = variables_of(&directory.join(".env"));
        let outer = |name: &str| std::env::var(name).ok().or_else(|| dotenv.get(name).cloned());
        let mut read = Self::default();
        let environment = environment(service, directory, &outer);
        read.volumes = volumes(service, directory, &outer);
        read.has_configs = !service["configs"].is_badvalue();
        let image = service["image"].as_str().unwrap_or_default();
        read.take_environment(&environment, image);
        let mut words = words_of(&service["entrypoint"], &outer);
        words.extend(words_of(&service["command"], &outer));
        let inner = |name: &str| environment.get(name).cloned();
        for word in unwrapped(words) {
            read.words.push(Zeroizing::new(from_shell(&word, &inner)));
        }
        read.notes.insert(0, format!("service {name}: {} words of options", read.words.len()));
        Ok(read)
    }

    /// The file on the host that coturn reads in the container.
    pub(super) fn file(&self, named: Option<&str>) -> Result<Option<PathBuf>, ComposeError> {
        if let Some(named) = named {
            let found = self.on_host(named);
            return found.map(Some).ok_or_else(|| ComposeError::InContainer(named.to_owned()));
        }
        if let Some(found) = IN_CONTAINER.iter().find_map(|path| self.on_host(path)) {
            return Ok(Some(found));
        }
        match self.has_configs {
            true => Err(ComposeError::InContainer("the file of configs:".to_owned())),
            false => Ok(None),
        }
    }

    fn on_host(&self, path: &str) -> Option<PathBuf> {
        self.volumes.iter().find_map(|(target, source)| {
            let rest = Path::new(path).strip_prefix(target).ok()?;
            let found =
                if rest.as_os_str().is_empty() { source.clone() } else { source.join(rest) };
            found.is_file().then_some(found)
        })
    }

    fn take_environment(&mut self, environment: &BTreeMap<String, String>, image: &str) {
        for (name, option) in
            [("DETECT_EXTERNAL_IP", "external-ip"), ("DETECT_RELAY_IP", "relay-ip")]
        {
            if environment.get(name).is_some_and(|value| !value.is_empty()) {
                let detect = Zeroizing::new(format!("--{option}=$(detect-{option})"));
                self.words.push(detect);
            }
        }
        if OWN_IMAGES.iter().any(|own| image.contains(own)) {
            return;
        }
        for (name, value) in environment {
            let Some(option) = option_of(name) else { continue };
            self.words.push(Zeroizing::new(format!("--{option}={value}")));
            self.notes.push(format!("{name} of the environment is taken for --{option}: check that the image means it so"));
        }
    }
}

/// `TURN_STATIC_AUTH_SECRET` is `static-auth-secret`.
fn option_of(variable: &str) -> Option<&'static str> {
    let plain = variable.to_ascii_lowercase().replace('_', "-");
    let bare =
        ["turnserver-", "coturn-", "turn-"].iter().find_map(|prefix| plain.strip_prefix(prefix));
    let names = OPTIONS.iter().flat_map(|option| option.names.iter().copied());
    let is_meant = |name: &&str| {
        // USER is whose shell it is, and the like.
        (*name == plain && plain.contains('-')) || bare == Some(*name)
    };
    names.into_iter().find(is_meant)
}

fn choose<'a>(root: &'a Yaml, name: Option<&str>) -> Result<(String, &'a Yaml), ComposeError> {
    let services = root["services"].as_hash();
    let all: Vec<(String, &Yaml)> = services
        .into_iter()
        .flatten()
        .filter_map(|(name, service)| Some((name.as_str()?.to_owned(), service)))
        .collect();
    let is_coturn = |service: &Yaml| {
        let image = service["image"].as_str().unwrap_or_default().contains("coturn");
        let runs = |key: &str| {
            let words = words_of(&service[key], &|_| None);
            words.iter().any(|word| word.contains("turnserver"))
        };
        image || runs("command") || runs("entrypoint")
    };
    let mut chosen: Vec<_> = match name {
        Some(name) => all.iter().filter(|(other, _)| other == name).cloned().collect(),
        None => all.iter().filter(|(_, service)| is_coturn(service)).cloned().collect(),
    };
    match (chosen.len(), chosen.pop()) {
        (1, Some(service)) => Ok(service),
        (count, _) => {
            let names: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
            let found = match (name, count) {
                (Some(name), _) => format!("there is no service {name}"),
                (None, 0) => "no service is seen to run coturn".to_owned(),
                (None, _) => "several services run coturn".to_owned(),
            };
            Err(ComposeError::Service { found, names: names.join(", ") })
        }
    }
}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A command as a list of words, or as one string for a shell's rules.
fn words_of(command: &Yaml, outer: Lookup<'_>) -> Vec<String> {
    match command {
        Yaml::String(text) => split(&from_compose(text, outer)),
        Yaml::Array(words) => {
            words.iter().filter_map(text_of).map(|word| from_compose(&word, outer)).collect()
        }
        _ => Vec::new(),
    }
}

/// As a shell takes words apart; where quotes are not closed, at blanks.
fn split(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    shlex::split(&text).unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

fn text_of(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The words of `turnserver` in `sh -c "... turnserver ... && ..."`.
fn unwrapped(words: Vec<String>) -> Vec<String> {
    let is_shell = |word: &String| {
        ["sh", "bash", "ash", "dash"].contains(&word.rsplit('/').next().unwrap_or_default())
    };
    let script = words.iter().position(is_shell).and_then(|at| {
        let behind = words.get(at + 1..)?;
        let option = behind.iter().position(|word| word.starts_with('-') && word.ends_with('c'))?;
        behind.get(option + 1)
    });
    let mut words = match script {
        // Signs of a shell are words of their own, so that what follows them is not taken for options.
        Some(script) => split(&script.replace("&&", " && ").replace(';', " ; ").replace('\n', " ")),
        None => words,
    };
    if let Some(at) = words.iter().position(|word| word.rsplit('/').next() == Some("turnserver")) {
        words.drain(..=at);
    } else {
        // Names of a wrapper in front of the options: docker-entrypoint.sh, tini, --.
        let options =
            words.iter().position(|word| word.starts_with('-') && word.len() > 1 && word != "--");
        words.drain(..options.unwrap_or(words.len()));
    }
    let ends =
        |word: &String| ["&&", "||", "|", ";", "&"].contains(&word.as_str()) || word.contains('>');
    if let Some(end) = words.iter().position(ends) {
        words.truncate(end);
    }
    words
}

fn environment(service: &Yaml, directory: &Path, outer: Lookup<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let files = match &service["env_file"] {
        Yaml::String(file) => vec![file.clone()],
        Yaml::Array(files) => files
            .iter()
            .filter_map(|file| file.as_str().or_else(|| file["path"].as_str()).map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    for file in files {
        all.extend(variables_of(&directory.join(from_compose(&file, outer))));
    }
    match &service["environment"] {
        Yaml::Hash(variables) => {
            for (name, value) in variables {
                let Some(name) = name.as_str() else { continue };
                let value = text_of(value).map(|value| from_compose(&value, outer));
                if let Some(value) = value.or_else(|| outer(name)) {
                    all.insert(name.to_owned(), value);
                }
            }
        }
        Yaml::Array(lines) => {
            for line in lines.iter().filter_map(Yaml::as_str) {
                let line = from_compose(line, outer);
                let (name, value) =
                    line.split_once('=').map_or((line.as_str(), None), |(n, v)| (n, Some(v)));
                if let Some(value) = value.map(str::to_owned).or_else(|| outer(name)) {
                    all.insert(name.to_owned(), value);
                }
            }
        }
        _ => {}
    }
    all
}

/// `NAME=VALUE` lines of a file; none where it cannot be read.
fn variables_of(file: &Path) -> BTreeMap<String, String> {
    let text = Zeroizing::new(std::fs::read_to_string(file).unwrap_or_default());
    let line = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let value = value.trim();
        let quoted =
            |quote: char| value.strip_prefix(quote).and_then(|rest| rest.split(quote).next());
        let bare = || value.split(" #").next().unwrap_or_default().trim_end();
        let value = quoted('\'').or_else(|| quoted('"')).unwrap_or_else(bare);
        Some((name.trim().to_owned(), value.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// What is mounted where, the longest target first.
fn volumes(service: &Yaml, directory: &Path, outer: Lookup<'_>) -> Vec<(String, PathBuf)> {
    let mut all = Vec::new();
    for volume in service["volumes"].as_vec().into_iter().flatten() {
        let pair = match volume {
            Yaml::String(text) => {
                let text = from_compose(text, outer);
                let mut parts = text.split(':');
                parts
                    .next()
                    .zip(parts.next())
                    .map(|(source, target)| (source.to_owned(), target.to_owned()))
            }
            other => other["source"]
                .as_str()
                .zip(other["target"].as_str())
                .map(|(source, target)| (from_compose(source, outer), from_compose(target, outer))),
        };
        // A name without a path is a volume of Docker's.
        if let Some((source, target)) = pair
            && source.starts_with(['.', '/', '~'])
        {
            all.push((target, directory.join(source)));
        }
    }
    all.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
    all
}
