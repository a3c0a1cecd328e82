//! The program in files of a BPF file system: attached by root, used by a server without rights.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use aya::maps::{Map, MapData};
use aya::programs::SchedClassifier;

use super::attach::{AttachedTo, Hold, detach_filter, program as loaded_program};
use super::attachments::{Attached, Attachments, By, PinnedFile, Program, Source};
use super::error::{Error, words};
use super::interface::{Interface, Wanted};
use super::layout::MAPS;
use super::maps::Maps;
use super::netlink::Netlink;
use super::relay::KernelRelay;

/// The name of the program's file: whoever opens it may attach it to interfaces that come later.
const PROGRAM: &str = "program";

/// What the names of links begin with; the number of the interface follows. Its name may have a dot, which no file of a
/// BPF file system can have.
const LINK: &str = "link-";

/// What the names of directories begin with that say where a filter of clsact is.
const FILTER: &str = "filter-";

/// Pins the program that [`attach`](super::attach()) has loaded and attached in a directory of a BPF file system, for
/// whoever has `owner` (user and group). It stays until [`detach_pins`].
///
/// # Errors
/// When the kernel refuses, or something is pinned there already.
pub fn pin(program: Program, directory: &Path, owner: (u32, u32)) -> Result<Vec<Attached>, Error> {
    let outcome = pin_all(program, directory, owner);
    if outcome.is_err() {
        // Nothing half-made stays.
        let _ = detach_pins(directory);
    }
    outcome
}

fn pin_all(program: Program, directory: &Path, owner: (u32, u32)) -> Result<Vec<Attached>, Error> {
    let Program { maps, attachments } = program;
    let failed = |path: &Path, error: &(dyn std::error::Error + 'static)| Error::Pin {
        path: path.to_owned(),
        words: words(error),
    };
    let give = |path: &Path, mode| {
        let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        set.and_then(|()| chown(path, Some(owner.0), Some(owner.1)))
            .map_err(|error| failed(path, &error))
    };
    fs::create_dir(directory).map_err(|error| failed(directory, &error))?;
    maps.pin(|name| directory.join(name))?;
    let all = attachments.attached().collect();
    let (mut source, held) = attachments.into_held();
    if let Source::Loaded(loaded) = &mut source {
        let path = directory.join(PROGRAM);
        loaded_program(loaded)?.pin(&path).map_err(|error| failed(&path, &error))?;
    }
    for name in MAPS.into_iter().chain([PROGRAM]) {
        give(&directory.join(name), 0o600)?;
    }
    for (interface, by) in held {
        match by {
            By::This(Hold::Tcx(link)) => {
                let path = directory.join(format!("{LINK}{}", interface.number));
                link.pin(&path).map_err(|error| failed(&path, &error))?;
            }
            By::This(Hold::Clsact { link }) => {
                // It stays by itself; a BPF file system has no other files to note it in.
                let path = directory.join(format!("{FILTER}{}", interface.number));
                fs::create_dir(&path).map_err(|error| failed(&path, &error))?;
                std::mem::forget(link);
            }
            // No other process has this program.
            By::Pin(_) | By::Another => {}
        }
    }
    // Names only: which interfaces there are.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .map_err(|error| failed(directory, &error))?;
    Ok(all)
}

/// Lets others than root through the directory that holds the pins, though not list it: a server without rights opens
/// them by their names. Returns whether it had to.
///
/// # Errors
/// When the system refuses.
pub fn let_through(directory: &Path) -> Result<bool, Error> {
    let Some(parent) = directory.parent() else { return Ok(false) };
    let failed =
        |error: std::io::Error| Error::Pin { path: parent.to_owned(), words: words(&error) };
    let mode = fs::metadata(parent).map_err(failed)?.permissions().mode();
    let may_pass = 0o011;
    if mode & may_pass == may_pass {
        return Ok(false);
    }
    fs::set_permissions(parent, fs::Permissions::from_mode(mode | may_pass)).map_err(failed)?;
    Ok(true)
}

/// Whether something is pinned in a directory.
#[must_use]
pub fn is_pinned(directory: &Path) -> bool {
    directory.join(MAPS[0]).exists()
}

/// Uses what is pinned. Flows that another process has left are removed. Interfaces that are wanted and have no program
/// get it for as long as this process lives.
///
/// # Errors
/// When the files are not those of this version, or this user may not use them.
pub fn open_pins(directory: &Path, wanted: Wanted) -> Result<KernelRelay, Error> {
    let mut maps = Maps::named(|name| {
        let path = directory.join(name);
        let opened = MapData::from_pin(&path).and_then(Map::from_map_data);
        opened.map_err(|error| Error::Pin { path, words: words(&error) })
    })?;
    let path = directory.join(PROGRAM);
    let file = PinnedFile::at(path.clone());
    let program = SchedClassifier::from_pin(&path)
        .map_err(|error| Error::Pin { path, words: words(&error) })?;
    maps.clear()?;
    let names = entries(directory)?;
    let pinned: Vec<_> = names.iter().filter_map(|(name, _)| attached_by(name)).collect();
    let mut attachments =
        Attachments::of(wanted, Source::Pinned(Box::new(program), file), &pinned)?;
    attachments.begin();
    KernelRelay::of(maps, attachments)
}

/// Detaches what is pinned, and takes the directory away. Returns the interfaces.
///
/// # Errors
/// When the system refuses.
pub fn detach_pins(directory: &Path) -> Result<Vec<Attached>, Error> {
    let failed = |path: &Path, error: std::io::Error| Error::Pin {
        path: path.to_owned(),
        words: words(&error),
    };
    let mut netlink = Netlink::open().map_err(Error::Routes)?;
    let mut all = Vec::new();
    for (name, path) in entries(directory)? {
        let pinned = attached_by(&name);
        let interface = pinned.and_then(|(number, _)| Interface::numbered(&mut netlink, number));
        // What was attached to an interface that is gone is gone as well.
        let attached =
            pinned.zip(interface).map(|((_, to), found)| Attached { interface: found.name, to });
        if let Some((_, AttachedTo::Clsact)) = pinned {
            if let Some(attached) = &attached {
                detach_filter(&attached.interface)?;
            }
            fs::remove_dir(&path).map_err(|error| failed(&path, error))?;
        } else {
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
        all.extend(attached);
    }
    fs::remove_dir(directory).map_err(|error| failed(directory, error))?;
    Ok(all)
}

/// The number of an interface, and how the program is attached to it, by the name of a file.
fn attached_by(name: &str) -> Option<(u32, AttachedTo)> {
    let by = |prefix, to| Some((name.strip_prefix(prefix)?.parse().ok()?, to));
    by(LINK, AttachedTo::Tcx).or_else(|| by(FILTER, AttachedTo::Clsact))
}

/// The names and paths in a directory.
fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let failed = |error: std::io::Error| Error::Pin {
        path: directory.to_owned(),
        words: match error.kind() {
            ErrorKind::NotFound => "nothing is attached there".to_owned(),
            _ => words(&error),
        },
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        all.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    all.sort();
    Ok(all)
}
