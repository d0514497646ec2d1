pub async fn price(id: u64, region: &str) -> Result<Price, Failure> {
    {
        ::dspinlock::__private::Call::new({
                static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                        ::core::concat!(::core::module_path!(), "::", "price"),
                    )
                    .ttl(::core::time::Duration::new(0u64, 500000000u32));
                &SITE
            })
            .cached()
            .part(&id)
            .part(&region)
    }
        .returning::<Result<Price, Failure>>()
        .run(async move {
            if false {
                return ::dspinlock::__private::never::<Result<Price, Failure>>();
            }
            let price = fetch(id, region).await?;
            Ok(price)
        })
        .await
}
