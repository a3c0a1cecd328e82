//! Loads the program and attaches it to interfaces.

use std::fmt;

use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, tc};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};

use super::error::{Error, words};
use super::interface::interface_kind;
use super::maps::Maps;
use super::stats::OF_CPU;

/// The bytecode, which `bpf/build` makes.
const BYTECODE: &[u8] = aya::include_bytes_aligned!("../bpf/relay.bpf.o");

/// The name of the program, also in the kernel's lists.
pub(crate) const NAME: &str = "taciturn_relay";

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedTo {
    /// By a link (tcx, Linux 6.6), which ends with the process that holds it unless it is pinned.
    Tcx,
    /// By a filter of the clsact qdisc. It stays when the process ends without detaching it.
    Clsact,
}

impl fmt::Display for AttachedTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        })
    }
}

/// A program that is attached to an interface for as long as this lives.
pub(crate) enum Hold {
    Tcx(FdLink),
    /// Dropping it detaches the program, where the process still may.
    Clsact {
        link: SchedClassifierLink,
    },
}

/// An interface that the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// How.
    pub to: AttachedTo,
}

/// The program, loaded and attached.
pub struct Program {
    pub(crate) maps: Maps,
    pub(crate) holds: Vec<(Attached, Hold)>,
    /// Interfaces that it could not be attached to, and why.
    pub failed: Vec<Error>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds: Vec<_> = self.holds.iter().map(|(attached, _)| attached).collect();
        f.debug_struct("Program").field("attached", &holds).field("failed", &self.failed).finish()
    }
}

impl Program {
    /// Where it is attached.
    pub fn attached(&self) -> impl Iterator<Item = &Attached> {
        self.holds.iter().map(|(attached, _)| attached)
    }
}

/// Loads the program, with room for so many flows of each family, and attaches it to the interfaces, behind
/// programs of others. Needs CAP_BPF and CAP_NET_ADMIN.
///
/// # Errors
/// When the kernel refuses the program, or to attach it to any of them.
pub fn attach(interfaces: &[String], flows: u32) -> Result<Program, Error> {
    let mut loaded = load(flows)?;
    let (mut holds, mut failed) = (Vec::new(), Vec::new());
    for interface in interfaces {
        match attach_to(program(&mut loaded)?, interface) {
            Ok((to, hold)) => holds.push((Attached { interface: interface.clone(), to }, hold)),
            Err(error) => failed.push(error),
        }
    }
    if holds.is_empty() {
        return Err(failed.into_iter().next().unwrap_or(Error::NoInterface));
    }
    Ok(Program { maps: Maps::of(&mut loaded)?, holds, failed })
}

/// Loads the program, attached to nothing.
pub(crate) fn load(flows: u32) -> Result<Ebpf, Error> {
    let of_kernel = |error: &(dyn std::error::Error + 'static)| Error::Load(words(error));
    let cpus =
        aya::util::nr_cpus().map_err(|(file, error)| Error::Load(format!("{file}: {error}")))?;
    let counts = u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(OF_CPU);
    let mut loader = EbpfLoader::new();
    // Nothing of the program depends on the types of this kernel.
    loader.btf(None).map_max_entries("stats", counts);
    for map in ["channels4", "peers4", "channels6", "peers6", "leases", "traffic"] {
        loader.map_max_entries(map, flows);
    }
    let mut loaded = loader.load(BYTECODE).map_err(|error| of_kernel(&error))?;
    program(&mut loaded)?.load().map_err(|error| of_kernel(&error))?;
    Ok(loaded)
}

pub(crate) fn program(loaded: &mut Ebpf) -> Result<&mut SchedClassifier, Error> {
    let program = loaded.program_mut(NAME);
    let program = program.ok_or_else(|| Error::Load(format!("the bytecode has no {NAME}")))?;
    program.try_into().map_err(|error: ProgramError| Error::Load(words(&error)))
}

fn attach_to(program: &mut SchedClassifier, interface: &str) -> Result<(AttachedTo, Hold), Error> {
    interface_kind(interface)?;
    let fails = |error: &(dyn std::error::Error + 'static)| Error::Attach {
        interface: interface.to_owned(),
        words: words(error),
    };
    // Not `attach`, which would choose by itself, and whose filter of clsact outlives the process.
    if KernelVersion::current().is_ok_and(|running| running >= KernelVersion::new(6, 6, 0)) {
        let last = TcAttachOptions::TcxOrder(LinkOrder::last());
        let id = program.attach_with_options(interface, TcAttachType::Ingress, last);
        let link = id.and_then(|id| program.take_link(id)).map_err(|error| fails(&error))?;
        let link: FdLink = link.try_into().map_err(|error| fails(&error))?;
        return Ok((AttachedTo::Tcx, Hold::Tcx(link)));
    }
    // Where it is there already, that is said as an error of netlink; what matters is whether attaching works.
    let _ = tc::qdisc_add_clsact(interface);
    detach_filter(interface)?;
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let id = program.attach_with_options(interface, TcAttachType::Ingress, options);
    let link = id.and_then(|id| program.take_link(id)).map_err(|error| fails(&error))?;
    Ok((AttachedTo::Clsact, Hold::Clsact { link }))
}

/// Detaches the filters of clsact from interfaces that a server has left which was killed, or ended without the right to
/// detach them. Returns where there were any.
#[must_use]
pub fn detach_left(interfaces: &[String]) -> Vec<Attached> {
    let left = interfaces.iter().filter(|interface| detach_filter(interface).unwrap_or(false));
    left.map(|interface| Attached { interface: interface.clone(), to: AttachedTo::Clsact })
        .collect()
}

/// Detaches the filter of clsact. Returns whether there was one.
pub(crate) fn detach_filter(interface: &str) -> Result<bool, Error> {
    match tc::qdisc_detach_program(interface, TcAttachType::Ingress, NAME) {
        Ok(()) => Ok(true),
        Err(TcError::IoError(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::Attach { interface: interface.to_owned(), words: words(&error) }),
    }
}
