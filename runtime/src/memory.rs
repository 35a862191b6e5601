//! Returns freed memory to the system: the allocator alone keeps what a burst has taken.

#![allow(unsafe_code, reason = "malloc_trim has no safe wrapper")]

/// Gives free pages back. Walks the whole heap, so only for moments without traffic.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers and is thread-safe.
    unsafe {
        libc::malloc_trim(0);
    }
}
