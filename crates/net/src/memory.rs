//! Memory that the allocator keeps although nothing is in it.
#![allow(unsafe_code)]

/// Gives memory that is free back to the system. glibc keeps what lies below something that is still in use, and
/// after a crowd of connections that is most of what they had. It takes about a millisecond for each 10 MB.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes a number, and locks what it touches.
    unsafe {
        libc::malloc_trim(0);
    }
}
