use dspinlock::dspinlock;

type Result = std::result::Result<u64, dspinlock::Error>;

#[dspinlock(time = 60, size = 100, convert = r#"{ id }"#, key = id, result = true, option = true)]
async fn cached(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(sync_writes = true, map_error = r#"|e| e"#, time_refresh = true, disk = true)]
async fn io_cached(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(ttl_secs = 60, expires = "1h", redis = "redis://host", timeout = 5, blocking, cache_err = true, once)]
async fn others(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(namespace = "billing")]
async fn of_the_pool(id: u64) -> Result {
    Ok(id)
}

fn main() {}
