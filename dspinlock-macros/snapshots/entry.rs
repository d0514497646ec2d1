#[cfg(unix)]
#[must_use]
pub(crate) fn price<T: Serialize>(&self, mut id: T) -> Result<u64, Failure> {
    {
        ::dspinlock::__private::Call::new({
                static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                    ::core::concat!(::core::module_path!(), "::", "price"),
                );
                &SITE
            })
            .cached()
            .part(&self.tenant()?)
            .part(&&id)
    }
        .returning::<Result<u64, Failure>>()
        .run_blocking(move || -> Result<u64, Failure> {
            id.reset();
            Ok(0)
        })
}
#[cfg(unix)]
///The entry of a call of `price`. Runs nothing.
#[allow(dead_code, unused_variables, unused_mut, clippy::too_many_arguments)]
pub(crate) fn price_entry<T: Serialize>(
    &self,
    mut id: T,
) -> <Result<
    u64,
    Failure,
> as ::dspinlock::__private::Tries>::Of<
    ::dspinlock::__private::Entry<Result<u64, Failure>>,
> {
    <Result<
        u64,
        Failure,
    > as ::dspinlock::__private::Tries>::of(
        {
            ::dspinlock::__private::Call::new({
                    static SITE: ::dspinlock::__private::Site = ::dspinlock::__private::Site::new(
                            ::core::concat!(::core::module_path!(), "::", "price"),
                        )
                        .entry("price_entry");
                    &SITE
                })
                .cached()
                .part(&self.tenant()?)
                .part(&&id)
        }
            .returning::<Result<u64, Failure>>()
            .entry(|| {}),
    )
}
