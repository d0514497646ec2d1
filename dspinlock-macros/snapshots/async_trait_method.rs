fn price<'life0, 'async_trait>(
    &'life0 self,
    __arg1: (u64, u64),
) -> ::core::pin::Pin<
    Box<dyn ::core::future::Future<Output = Result<u64, Failure>> + Send + 'async_trait>,
>
where
    'life0: 'async_trait,
    Self: 'async_trait,
{
    ::std::boxed::Box::pin(async move {
        if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
            Result<u64, Failure>,
        > {
            #[allow(unreachable_code)] return __ret;
        }
        let __self = self;
        let (a, b) = {
            let __arg1 = __arg1;
            __arg1
        };
        {
            ::dspinlock::__private::Call::new({
                    static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                        ::core::concat!(::core::module_path!(), "::", "price"),
                    );
                    &SITE
                })
                .part(&__self.id)
                .part(&a)
        }
            .returning::<Result<u64, Failure>>()
            .run(async move {
                if false {
                    return ::dspinlock::__private::never::<Result<u64, Failure>>();
                }
                Ok(__self.base + a + b)
            })
            .await
    })
}
