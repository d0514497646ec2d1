async fn price<T: Serialize, const N: usize>(&self, user: T) -> Result<T, Failure> {
    {
        ::dspinlock::__private::Call::new({
                static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                        ::core::concat!(::core::module_path!(), "::", "price"),
                    )
                    .name("price")
                    .prefix("shop")
                    .skipped_generics(&[1usize])
                    .fail_if_key_exists()
                    .replicas(1u32)
                    .spinlock_sleep_thresh(
                        ::core::time::Duration::new(61u64, 1000000u32),
                    )
                    .wait_forever()
                    .max_block_time(::core::time::Duration::new(60u64, 0u32))
                    .lease(::core::time::Duration::new(5u64, 0u32));
                &SITE
            })
            .cached()
            .map_err(Failure::Lock)
            .part(&self.id)
            .part(&"user:{user}")
            .part(&::core::format_args!("{user}"))
            .part(&(a + b))
            .ttl(self.ttl(&user))
    }
        .returning::<Result<T, Failure>>()
        .run(async move {
            if false {
                return ::dspinlock::__private::never::<Result<T, Failure>>();
            }
            Ok(user)
        })
        .await
}
