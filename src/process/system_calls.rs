//! Which system calls the process may still make, by seccomp: the same list wherever it runs, within
//! that of systemd or of a container.
//!
//! A call that is not on the list fails with ENOSYS, and the process continues. If the filter killed the
//! process instead, one new call in a later libc would end every running session. ENOSYS is the error of an
//! older kernel: libraries then use an alternative (clone for clone3, for example), whereas EPERM is a failure
//! to them. No other part of the system returns it, so a message can name the filter as the cause.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BackendError, BpfProgram, Error as SeccompError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::error::{Filtered, ProcessError};

/// Denies every thread of this process all system calls that a relay does not need. This is irreversible. `uses_maps`:
/// one that has a program in the kernel and its maps open, reads and writes these, and attaches that.
///
/// # Errors
/// When the kernel has seccomp and refuses all the same, as a filter from outside may make it.
pub fn filter_system_calls(uses_maps: bool) -> Result<Filtered, ProcessError> {
    let failed = |error: io::Error| ProcessError::Refused { step: "filter system calls", error };
    let Ok(architecture) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(Filtered::No);
    };
    let program =
        program(architecture, uses_maps).map_err(|error| failed(io::Error::other(error)))?;
    match apply_filter_all_threads(&program) {
        Ok(()) => Ok(Filtered::Yes),
        Err(SeccompError::Seccomp(error))
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
        {
            Ok(Filtered::No)
        }
        Err(SeccompError::Seccomp(error) | SeccompError::Prctl(error)) => Err(failed(error)),
        Err(error) => Err(failed(io::Error::other(error))),
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn program(architecture: TargetArch, uses_maps: bool) -> Result<BpfProgram, BackendError> {
    let refuse = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    SeccompFilter::new(rules(uses_maps)?, refuse, SeccompAction::Allow, architecture)?.try_into()
}

fn rules(uses_maps: bool) -> Result<Rules, BackendError> {
    // No rule is: with any arguments. The kernel decides on those from a bitmap (Linux 5.11), without
    // running the filter; the calls of a packet are all among them.
    let mut rules: Rules =
        ANY_ARGUMENTS.iter().chain(OLD).map(|call| (*call, Vec::new())).collect();
    let maps = uses_maps.then(|| (libc::SYS_bpf, BPF_COMMANDS.map(first_argument).to_vec()));
    for (call, alternatives) in some_arguments().into_iter().chain(maps) {
        let conditions = alternatives.into_iter().map(|condition| {
            let (argument, operator, value) = condition;
            let condition =
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
            SeccompRule::new(vec![condition])
        });
        rules.insert(call, conditions.collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

/// Calls that are allowed with any argument.
const ANY_ARGUMENTS: &[i64] = &[
    // Packets and connections.
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_close,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    // Files: a reload reads the configuration, secrets and certificates, and may write a secret.
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_umask,
    libc::SYS_dup,
    libc::SYS_dup3,
    // Memory, except calls that make it executable: see below.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // Threads and signals of its own.
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Identity of the process.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
];

/// The older variants of these calls, which x86-64 still has and musl uses.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[
    libc::SYS_access,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

/// A condition: the number of the argument, how it is compared, and with what.
type Condition = (u8, SeccompCmpOp, u64);

/// Calls that are allowed with some arguments: one of the conditions must hold.
fn some_arguments() -> Vec<(i64, Vec<Condition>)> {
    let flags = |flags: i32| u64::from(flags.cast_unsigned());
    let is = |argument: u8| move |value: i32| (argument, SeccompCmpOp::Eq, flags(value));
    let without = |argument, bits: i32| (argument, SeccompCmpOp::MaskedEq(flags(bits)), 0);
    let with = |argument, bits: i32| (argument, SeccompCmpOp::MaskedEq(flags(bits)), flags(bits));
    let own = std::process::id().cast_signed();
    let request = |value: u64| (1, SeccompCmpOp::Eq, value);
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    // Without MFD_EXEC, which would be needed for a program: a state to be handed over is no such file.
    let files = [libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING, SEALED_FILE];
    let file = |flags: libc::c_uint| (1, SeccompCmpOp::Eq, u64::from(flags));
    let options = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_TIMERSLACK, PR_SET_VMA];
    // To list the interfaces, libc asks for their numbers.
    let requests = [FIONBIO, FIONREAD, TCGETS, TIOCGWINSZ, SIOCGIFINDEX];
    vec![
        // Neither packets below IP nor anything that the kernel's less used families hold.
        (libc::SYS_socket, families.map(is(0)).to_vec()),
        (libc::SYS_socketpair, vec![is(0)(libc::AF_UNIX)]),
        // A thread, not a process. Libc falls back to this call if clone3 is missing.
        (libc::SYS_clone, vec![with(0, libc::CLONE_THREAD)]),
        // No memory that can be executed.
        (libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)]),
        (libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)]),
        // A file in memory that can be sealed.
        (libc::SYS_memfd_create, files.map(file).to_vec()),
        // Abort: a signal to itself.
        (libc::SYS_tgkill, vec![is(0)(own)]),
        // Its own limits.
        (libc::SYS_prlimit64, vec![is(0)(0), is(0)(own)]),
        (libc::SYS_prctl, options.map(is(0)).to_vec()),
        (libc::SYS_ioctl, requests.map(request).to_vec()),
    ]
}

/// BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM and BPF_MAP_DELETE_ELEM; and BPF_LINK_CREATE, which attaches a program that the
/// process has open to an interface that was made anew. No map is made, and no program loaded.
const BPF_COMMANDS: [u64; 4] = [1, 2, 3, 28];

const fn first_argument(value: u64) -> Condition {
    (0, SeccompCmpOp::Eq, value)
}

/// Linux 6.3 and later: one that can never be executed.
const SEALED_FILE: libc::c_uint =
    libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL;

/// Libc names its memory.
const PR_SET_VMA: i32 = 0x5356_4d41;

// Not those of `libc`, whose type is another one with musl.
const FIONBIO: u64 = 0x5421;
const FIONREAD: u64 = 0x541b;
const TCGETS: u64 = 0x5401;
const TIOCGWINSZ: u64 = 0x5413;
const SIOCGIFINDEX: u64 = 0x8933;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_for_this_processor() {
        let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        assert!(!program(architecture, true).unwrap().is_empty());
    }

    #[test]
    fn what_takes_over_a_machine_is_not_on_the_list() {
        let rules = rules(false).unwrap();
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_clone3,
            libc::SYS_kill,
            libc::SYS_setuid,
            libc::SYS_capset,
        ] {
            assert!(!rules.contains_key(&call), "{call}");
        }
    }

    #[test]
    fn who_has_maps_open_may_use_them_and_make_no_other() {
        let rules = rules(true).unwrap();
        assert_eq!(rules.get(&libc::SYS_bpf).map(Vec::len), Some(4));
        // BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_OBJ_GET, BPF_PROG_ATTACH, BPF_LINK_UPDATE
        assert!([0, 5, 6, 7, 8, 29].iter().all(|command| !BPF_COMMANDS.contains(command)));
    }

    #[test]
    fn a_file_in_memory_is_one_that_can_be_sealed_and_no_program() {
        let allowed: Vec<_> = some_arguments()
            .into_iter()
            .filter(|(call, _)| *call == libc::SYS_memfd_create)
            .flat_map(|(_, conditions)| conditions)
            .map(|(argument, _, flags)| (argument, flags))
            .collect();
        assert_eq!(allowed, [(1, 0x3), (1, 0xb)]);
    }

    /// Filters of one argument are run; for the calls of each packet that would be work.
    #[test]
    fn the_calls_of_a_packet_are_allowed_without_a_look_at_their_arguments() {
        let rules = rules(false).unwrap();
        for call in [
            libc::SYS_recvmmsg,
            libc::SYS_sendmmsg,
            libc::SYS_sendmsg,
            libc::SYS_recvmsg,
            libc::SYS_epoll_pwait,
            libc::SYS_read,
            libc::SYS_write,
        ] {
            assert_eq!(rules.get(&call).map(Vec::len), Some(0), "{call}");
        }
    }
}
