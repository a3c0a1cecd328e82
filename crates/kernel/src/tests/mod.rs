//! The program against the server's own decisions, packet by packet.

mod differential;
mod packet;
mod passed_up;
mod rights;
mod served;

use aya::Ebpf;

use crate::attach::load;

/// Loads the program, where this process may. Where it may not, says why, and the test is skipped; with
/// TACITURN_KERNEL_TESTS=required it fails.
fn loaded(flows: u32) -> Option<Ebpf> {
    match load(flows) {
        Ok(program) => Some(program),
        Err(error) => {
            let required = std::env::var("TACITURN_KERNEL_TESTS").is_ok_and(|is| is == "required");
            assert!(!required, "{error}");
            eprintln!("skipped, for it needs CAP_BPF and CAP_NET_ADMIN: {error}");
            None
        }
    }
}

/// The same numbers in each run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
