//! The options of a locked function.

use dspinlock_testkit::{Job, Worker};

use crate::common::store::Store;

#[test]
fn options_out_of_range_are_refused() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        for (option, value) in [
            ("lease", 0),
            ("ttl", 0),
            ("block", 0),
            ("tries", 0),
            ("ttl", u64::MAX),
            ("lease", u64::MAX),
            ("block", u64::MAX),
        ] {
            let call = worker.call(&Job::new("cached", "secret").with(option, value));
            assert_eq!(
                call.outcome(),
                (0, Err("InvalidOption".to_owned())),
                "{option} = {value} on {}",
                store.url()
            );
        }
        let longer = Job::new("cached", "secret")
            .with("lease", 2000)
            .with("block", 1000);
        assert_eq!(
            worker.call(&longer).outcome(),
            (0, Err("InvalidOption".to_owned()))
        );
    }
}
