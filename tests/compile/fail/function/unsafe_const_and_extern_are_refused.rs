//! What a locked function cannot be.

use dspinlock::dspinlock;

#[dspinlock]
unsafe fn not_safe(id: u64) -> Result<u64, dspinlock::Error> {
    Ok(id)
}

#[dspinlock(on_error = panic)]
const fn constant(id: u64) -> u64 {
    id
}

#[dspinlock(on_error = panic)]
extern "C" fn foreign(id: u64) -> u64 {
    id
}

// All mistakes at once.
#[dspinlock(ttl = 5, cache)]
const unsafe extern "C" fn everything(id: u64) -> impl Sized {
    id
}

fn main() {
    // The functions are still there, so that their callers are not told that they are missing.
    let _ = (unsafe { not_safe(1) }, constant(1), foreign(1));
}
