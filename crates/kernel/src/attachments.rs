//! Which interfaces the program is attached to: those that are wanted, also when one is made anew, comes later or is
//! renamed.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::programs::SchedClassifier;

use super::attach::{AttachedTo, Hold, attach_to, detach_filter, has_links, load, program};
use super::error::Error;
use super::interface::{Interface, Wanted};
use super::maps::Maps;
use super::netlink::Netlink;

/// How long an interface that was tried rests before it is tried again: it may come and go, or refuse.
const REST: Duration = Duration::from_secs(10);

/// An interface that the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// How.
    pub to: AttachedTo,
}

/// Where the program is, which can be attached for as long as it is open.
pub(crate) enum Source {
    Loaded(Ebpf),
    Pinned(Box<SchedClassifier>, PinnedFile),
}

/// The file that the program was opened by.
#[derive(Debug)]
pub(crate) struct PinnedFile {
    path: PathBuf,
    number: Option<u64>,
}

impl PinnedFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        let number = fs::metadata(&path).ok().map(|file| file.ino());
        Self { path, number }
    }

    /// Whether it is still there, and no other one in its place.
    fn is_there(&self) -> bool {
        fs::metadata(&self.path).ok().map(|file| file.ino()) == self.number
    }
}

impl Source {
    fn program(&mut self) -> Result<&mut SchedClassifier, Error> {
        match self {
            Self::Loaded(loaded) => program(loaded),
            Self::Pinned(pinned, _) => Ok(pinned),
        }
    }
}

/// By what it is attached.
pub(crate) enum By {
    /// For as long as this lives.
    This(Hold),
    /// By a file: for longer than this process lives.
    Pin(AttachedTo),
    /// By another process, which has opened the same program.
    Another,
}

impl By {
    const fn to(&self) -> AttachedTo {
        match self {
            Self::This(hold) => hold.to(),
            Self::Pin(to) => *to,
            Self::Another => AttachedTo::Tcx,
        }
    }
}

/// What has changed since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) come: Vec<Attached>,
    pub(crate) gone: Vec<Attached>,
    /// There is other trouble than before.
    pub(crate) trouble: bool,
}

/// The program and the interfaces that it is attached to.
pub(crate) struct Attachments {
    wanted: Wanted,
    source: Source,
    has_links: bool,
    netlink: Netlink,
    held: Vec<(Interface, By)>,
    failed: Vec<Error>,
    /// When interfaces were tried while the server runs, by name.
    tried: HashMap<String, Instant>,
    /// Whether one of them is to be tried again.
    rests: bool,
    /// Whether somebody has taken the pins away, which is meant for all interfaces.
    is_detached: bool,
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attached: Vec<_> = self.attached().collect();
        f.debug_struct("Attachments").field("attached", &attached).finish_non_exhaustive()
    }
}

impl Attachments {
    /// Attached to nothing beside what is pinned, by number of the interface.
    pub(crate) fn of(
        wanted: Wanted,
        source: Source,
        pinned: &[(u32, AttachedTo)],
    ) -> Result<Self, Error> {
        let mut netlink = Netlink::open().map_err(Error::Routes)?;
        let held = pinned.iter().filter_map(|(number, to)| {
            Some((Interface::numbered(&mut netlink, *number)?, By::Pin(*to)))
        });
        let held = held.collect();
        let (failed, tried) = (Vec::new(), HashMap::new());
        let has_links = has_links();
        Ok(Self {
            wanted,
            source,
            has_links,
            netlink,
            held,
            failed,
            tried,
            rests: false,
            is_detached: false,
        })
    }

    /// Attaches the program to what is wanted. For the start, when the process still has its rights.
    pub(crate) fn begin(&mut self) {
        self.attach_missing(None);
    }

    /// Where the program is attached.
    pub(crate) fn attached(&self) -> impl Iterator<Item = Attached> {
        self.held.iter().map(shown)
    }

    pub(crate) fn into_held(self) -> (Source, Vec<(Interface, By)>) {
        (self.source, self.held)
    }

    /// Interfaces that it could not be attached to, and why.
    pub(crate) fn failed(&self) -> &[Error] {
        &self.failed
    }

    /// What does not work, if anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        if !self.failed.is_empty() {
            let failed: Vec<_> = self.failed.iter().map(ToString::to_string).collect();
            return Some(failed.join("; "));
        }
        self.held.is_empty().then(|| Error::NoInterface.to_string())
    }

    /// Whether interfaces are to be looked at again, though the kernel may not give word of a change.
    pub(crate) fn is_unsettled(&self) -> bool {
        if self.is_detached {
            return false;
        }
        if self.pins_are_gone() {
            return true;
        }
        let by_another = |(_, by): &(Interface, By)| matches!(by, By::Another);
        self.rests || self.trouble().is_some() || self.held.iter().any(by_another)
    }

    /// Looks at what has become of the interfaces, and attaches the program where it is wanted and not there.
    pub(crate) fn look(&mut self, now: Instant) -> Changes {
        let (before, trouble) = (self.numbered(), self.trouble());
        self.is_detached |= self.pins_are_gone();
        if self.is_detached {
            self.held.clear();
            self.failed = vec![Error::Detached];
            // The interfaces are still there.
            return Changes { trouble: self.trouble() != trouble, ..Changes::default() };
        }
        self.tried.retain(|_, at| now.saturating_duration_since(*at) < REST);
        let mut held = Vec::new();
        for (interface, by) in std::mem::take(&mut self.held) {
            // The name may be another one now. What is gone has taken its attachment along.
            if let Some(found) = Interface::numbered(&mut self.netlink, interface.number) {
                held.push((found, by));
            }
        }
        self.held = held;
        self.attach_missing(Some(now));
        let after = self.numbered();
        let is_kept = |number: u32| after.iter().any(|(kept, _)| *kept == number);
        let gone = before.iter().filter(|(number, _)| !is_kept(*number));
        let come = after.iter().filter(|one| !before.contains(one));
        Changes {
            come: come.map(|(_, attached)| attached.clone()).collect(),
            gone: gone.map(|(_, attached)| attached.clone()).collect(),
            trouble: self.trouble() != trouble,
        }
    }

    /// Where the program is attached: one that was made anew has another number.
    fn numbered(&self) -> Vec<(u32, Attached)> {
        self.held.iter().map(|held| (held.0.number, shown(held))).collect()
    }

    fn pins_are_gone(&self) -> bool {
        matches!(&self.source, Source::Pinned(_, file) if !file.is_there())
    }

    /// `now`: the server runs, and has no rights but to use what it has open.
    fn attach_missing(&mut self, now: Option<Instant>) {
        let (wanted, mut failed) = self.wanted.now(&mut self.netlink);
        self.rests = false;
        for interface in wanted {
            let place = self.held.iter().position(|(held, _)| held.number == interface.number);
            let is_held = place.and_then(|place| self.held.get(place));
            if is_held.is_some_and(|(_, by)| !matches!(by, By::Another)) {
                continue;
            }
            if self.tried.contains_key(&interface.name) {
                self.rests = true;
                // What was said of it still holds.
                failed.extend(self.failed.extract_if(.., |error| is_of(error, &interface.name)));
                continue;
            }
            if let Some(now) = now {
                self.tried.insert(interface.name.clone(), now);
            }
            match self.attach(&interface, now.is_some()) {
                Ok(by) => match place.and_then(|place| self.held.get_mut(place)) {
                    Some(held) => held.1 = by,
                    None => self.held.push((interface, by)),
                },
                Err(error) => failed.push(error),
            }
        }
        self.failed = failed;
    }

    fn attach(&mut self, interface: &Interface, runs: bool) -> Result<By, Error> {
        let has_rights = !runs && matches!(self.source, Source::Loaded(_));
        if !has_rights && !self.has_links {
            return Err(Error::New(interface.name.clone()));
        }
        let hold = attach_to(self.source.program()?, &interface.name, self.has_links)?;
        // Between two questions it may have become another one of that name; then its attachment is none of this one.
        match Interface::named(&mut self.netlink, &interface.name) {
            Some(found) if found.number == interface.number => {
                Ok(hold.map_or(By::Another, By::This))
            }
            _ => Err(Error::NoSuchInterface(interface.name.clone())),
        }
    }
}

fn shown((interface, by): &(Interface, By)) -> Attached {
    Attached { interface: interface.name.clone(), to: by.to() }
}

fn is_of(error: &Error, name: &str) -> bool {
    match error {
        Error::Attach { interface, .. } | Error::New(interface) => interface == name,
        _ => false,
    }
}

/// The program, loaded and attached.
pub struct Program {
    pub(crate) maps: Maps,
    pub(crate) attachments: Attachments,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("attachments", &self.attachments).finish_non_exhaustive()
    }
}

impl Program {
    /// Interfaces that it could not be attached to, and why.
    #[must_use]
    pub fn failed(&self) -> &[Error] {
        self.attachments.failed()
    }
}

/// Loads the program, with room for so many flows of each family, and attaches it to the interfaces, behind
/// programs of others. Needs CAP_BPF and CAP_NET_ADMIN.
///
/// # Errors
/// When the kernel refuses the program, or to attach it to any of them. Interfaces that are named and not there yet are
/// no such error: [`Program::failed`].
pub fn attach(wanted: Wanted, flows: u32) -> Result<Program, Error> {
    let mut loaded = load(flows)?;
    let maps = Maps::of(&mut loaded)?;
    let mut attachments = Attachments::of(wanted, Source::Loaded(loaded), &[])?;
    attachments.begin();
    if attachments.attached().next().is_none() {
        let may_come = |error: &Error| matches!(error, Error::NoSuchInterface(_));
        if !attachments.failed.iter().any(may_come) {
            return Err(attachments.failed.into_iter().next().unwrap_or(Error::NoInterface));
        }
    }
    Ok(Program { maps, attachments })
}

/// Detaches the filters of clsact from interfaces that a server has left which was killed, or ended without the right to
/// detach them. Returns where there were any.
#[must_use]
pub fn detach_left(interfaces: &[String]) -> Vec<Attached> {
    let left = interfaces.iter().filter(|interface| detach_filter(interface).unwrap_or(false));
    left.map(|interface| Attached { interface: interface.clone(), to: AttachedTo::Clsact })
        .collect()
}
