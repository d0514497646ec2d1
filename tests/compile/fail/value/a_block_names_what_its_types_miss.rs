use std::time::Duration;

use dspinlock::{Error, site};

struct Opaque;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Fixed(u64);

fn a_value_is_stored() -> Result<Opaque, Error> {
    site("value").cached().run_blocking(|| Ok(Opaque))
}

async fn a_value_is_stored_async() -> Result<Opaque, Error> {
    site("value").cached().run(async { Ok(Opaque) }).await
}

fn a_part_is_serialized() -> Result<(), Error> {
    site("part").part(&Opaque).run_blocking(|| Ok(()))
}

fn a_copy_is_cloned() -> Result<Fixed, Error> {
    let block = site("near").cached().near_cache(Duration::from_secs(1));
    block.run_blocking(|| Ok(Fixed(1)))
}

fn an_error_is_stored() -> Result<u64, Error> {
    let block = site("error").cached().err_ttl(Duration::from_secs(1));
    block.run_blocking(|| Ok(1))
}

fn a_lock_error_is_converted() -> Result<u64, Opaque> {
    site("convert").run_blocking(|| Ok(1))
}

fn a_skip_returns_nothing() -> Result<u64, Error> {
    site("skip").skip_if_busy().run_blocking(|| Ok(1))
}

fn a_rule_returns_a_duration() {
    let _ = site("rule").cached().ttl_with(|value: &u64| *value);
}

fn main() {}
