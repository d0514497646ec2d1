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

fn main() {
    // The functions are still defined: these calls raise no errors.
    let _ = (unsafe { not_safe(1) }, constant(1), foreign(1));
}
