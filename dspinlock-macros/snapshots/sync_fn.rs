#[must_use]
#[allow(unused)]
fn price(mut id: u64, (a, b): (u8, u8)) {
    {
        ::dspinlock::__private::Call::new({
                static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                    ::core::concat!(::core::module_path!(), "::", "price"),
                );
                &SITE
            })
            .panic(::dspinlock::__private::Shape::<()>::new().kind())
            .part(&id)
            .part(&a)
            .part(&b)
    }
        .returning::<()>()
        .run_blocking(move || -> () {
            id += 1;
        })
}
