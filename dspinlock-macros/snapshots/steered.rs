async fn pay(id: u64, amount: u64) -> Result<Option<u64>, Failure> {
    {
        ::dspinlock::__private::Call::new({
                static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                        ::core::concat!(::core::module_path!(), "::", "pay"),
                    )
                    .version(2u32)
                    .records_errors()
                    .wait(::core::time::Duration::new(0u64, 0u32));
                &SITE
            })
            .cached()
            .skip_busy()
            .part(&id)
            .validating(&amount)
            .validating(&currency())
            .pool(&POOL)
            .label(::core::format_args!("order:{id}"))
    }
        .returning::<Result<Option<u64>, Failure>>()
        .keeping()
        .ttl(|outcome| ::dspinlock::__private::ttl(
            outcome,
            ::dspinlock::__private::Shape::<Result<Option<u64>, Failure>>::new().kind(),
            |value| value.map(Duration::from_secs),
        ))
        .err_ttl(
            |outcome| {
                ::dspinlock::__private::error_of(outcome)
                    .map(|error| ::dspinlock::__private::record(
                        error,
                        |_| ::core::time::Duration::new(1u64, 0u32),
                    ))
            },
            ::dspinlock::__private::recorded,
        )
        .run(async move {
            if false {
                return ::dspinlock::__private::never::<Result<Option<u64>, Failure>>();
            }
            charge(id, amount).await
        })
        .await
}
