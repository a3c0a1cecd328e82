//! Loads the program and attaches it to an interface.

use std::fmt;
use std::io::ErrorKind;

use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, tc};
use aya::sys::SyscallError;
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};

use super::error::{Error, words};
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

impl Hold {
    pub(crate) const fn to(&self) -> AttachedTo {
        match self {
            Self::Tcx(_) => AttachedTo::Tcx,
            Self::Clsact { .. } => AttachedTo::Clsact,
        }
    }
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

/// Whether this kernel has links at TC ingress, which need no right but to have the program open. To be asked before the
/// sandbox, which may keep aya from finding the version out.
pub(crate) fn has_links() -> bool {
    KernelVersion::current().is_ok_and(|running| running >= KernelVersion::new(6, 6, 0))
}

/// Attaches the program behind those of others. Returns nothing if another process has attached this very program there.
pub(crate) fn attach_to(
    program: &mut SchedClassifier,
    interface: &str,
    by_link: bool,
) -> Result<Option<Hold>, Error> {
    let fails = |error: &(dyn std::error::Error + 'static)| Error::Attach {
        interface: interface.to_owned(),
        words: words(error),
    };
    // Not `attach`, which would choose by itself, and whose filter of clsact outlives the process.
    if by_link {
        let last = TcAttachOptions::TcxOrder(LinkOrder::last());
        let id = match program.attach_with_options(interface, TcAttachType::Ingress, last) {
            Err(ProgramError::SyscallError(SyscallError { io_error, .. }))
                if io_error.kind() == ErrorKind::AlreadyExists =>
            {
                return Ok(None);
            }
            attached => attached.map_err(|error| fails(&error))?,
        };
        let link = program.take_link(id).map_err(|error| fails(&error))?;
        let link: FdLink = link.try_into().map_err(|error| fails(&error))?;
        return Ok(Some(Hold::Tcx(link)));
    }
    // Where it is there already, that is said as an error of netlink; what matters is whether attaching works.
    let _ = tc::qdisc_add_clsact(interface);
    detach_filter(interface)?;
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let id = program.attach_with_options(interface, TcAttachType::Ingress, options);
    let link = id.and_then(|id| program.take_link(id)).map_err(|error| fails(&error))?;
    Ok(Some(Hold::Clsact { link }))
}

/// Detaches the filter of clsact. Returns whether there was one.
pub(crate) fn detach_filter(interface: &str) -> Result<bool, Error> {
    match tc::qdisc_detach_program(interface, TcAttachType::Ingress, NAME) {
        Ok(()) => Ok(true),
        Err(TcError::IoError(error)) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::Attach { interface: interface.to_owned(), words: words(&error) }),
    }
}
