use dspinlock::dspinlock;

#[dspinlock(on_error = panic)]
unsafe extern "C" fn variadic(id: u64, _: ...) -> u64 {
    id
}

fn main() {}
