use dspinlock::dspinlock;

type Result<T> = std::result::Result<T, dspinlock::Error>;

macro_rules! twice {
    ($plain:ident, $locked:ident, $arg:ident: $arg_ty:ty => $ret:ty, $body:block) => {
        async fn $plain($arg: $arg_ty) -> Result<$ret> $body

        #[dspinlock(key = (), cached_if_computed)]
        async fn $locked($arg: $arg_ty) -> Result<$ret> $body
    };
}

twice!(small, small_locked, id: u64 => u64, {
    std::future::ready(()).await;
    Ok(id)
});
twice!(large, large_locked, list: [u64; 1000] => u64, {
    std::future::ready(()).await;
    Ok(list[0])
});
twice!(long, long_locked, id: u64 => ([u64; 32], [u64; 32], [u64; 32]), {
    std::future::ready(()).await;
    Ok(([id; 32], [id; 32], [id; 32]))
});

fn check<T, U>(plain: &T, locked: &U) {
    let more = size_of_val(locked) - size_of_val(plain);
    // The key and the read of a hit are in the future, because a hit allocates no box.
    assert!(
        more <= 512,
        "the lock adds {more} bytes to {}",
        size_of_val(plain)
    );
}

fn main() {
    check(&small(1), &small_locked(1));
    check(&large([1; 1000]), &large_locked([1; 1000]));
    check(&long(1), &long_locked(1));
}
