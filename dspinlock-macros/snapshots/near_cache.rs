fn price(id: u64) -> Result<Price, Failure> {
    {
        ::dspinlock::__private::Call::new({
                static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                        ::core::concat!(::core::module_path!(), "::", "price"),
                    )
                    .near_cache(::core::time::Duration::new(10u64, 0u32));
                &SITE
            })
            .cached_near()
            .map_err(Failure::Lock)
            .part(&id)
    }
        .returning::<Result<Price, Failure>>()
        .run_blocking(move || -> Result<Price, Failure> { fetch(id) })
}
